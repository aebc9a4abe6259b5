#!/bin/bash
# sbatch slurm-array.sh: 20 workers, one a node, each with all cores of its allocation but one.
#SBATCH --job-name=scythe-worker
#SBATCH --array=1-20
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=32
#SBATCH --mem=64G
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@180
#SBATCH --requeue
#SBATCH --output=scythe-worker-%A_%a.log
set -euo pipefail

cd "$SLURM_SUBMIT_DIR"
# HATCHET_CLIENT_TOKEN and SCYTHE_STORAGE; readable by you alone
set -a
source "$HOME/.config/scythe/worker.env"
set +a

.venv/bin/scythe worker experiment.yml --slots "$((SLURM_CPUS_PER_TASK - 1))" &
worker=$!
# Slurm's SIGTERM goes to this shell, 180 s before the end: pass it on once, so that the worker drains.
trap 'kill -TERM "$worker"' TERM
wait "$worker" || wait "$worker"
