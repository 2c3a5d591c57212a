#!/bin/bash
#FAKE --name "pav-fake-s1-runs"
#FAKE --time 7
#FAKE --nodes 2-4
#FAKE --account sci
#FAKE --exclude b1,b2

# All output from here on goes to the kickoff log.
exec >/site/jobs/one/kickoff.log 2>&1

# What the pav command needs to find its code and configuration.
export PATH=/opt/pavilion/bin:${PATH}
export PAV_CONFIG_FILE='/home/user/my config/pavilion.yaml'
export PAV_CONFIG_DIR='/home/user/my config'

# The site's own environment (env_setup).
module load gcc
export SITE=here

# The guard ends everything that the tests started when they, or the job, end.
# Where it is missing, the job runs without it.
set -- /usr/bin/python3 -I -S /opt/pavilion/schedulers/lifecycle/guard.py
[ -x "$1" ] && [ -r "$4" ] || set --
exec ${1+"$@"} \
pav _run s1.1 s1.2 s1.3
