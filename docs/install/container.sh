#!/bin/sh
# Install errpath in a bare Debian, as root, from the checkout in /usr/src/errpath: into /opt/errpath,
# with the packages that it needs. docs/install/Containerfile runs it, and so does a test.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends ca-certificates python3-venv
python3 -m venv /opt/errpath
/opt/errpath/bin/pip install --quiet --no-cache-dir /usr/src/errpath
/opt/errpath/bin/errpath doctor --install
rm -rf /var/lib/apt/lists/*
