#!/bin/bash
#FAKE --name "pav-fake-s1-runs_isolated"
#FAKE --time 1
#FAKE --nodes 1-1

# All output from here on goes to the kickoff log.
exec >"$(dirname -- "${BASH_SOURCE[0]}")"/kickoff.log 2>&1

# The site's own environment (env_setup).
module load gcc
export SITE=here

echo body of 1
echo body of 2
