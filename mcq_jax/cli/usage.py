"""What the command line says of itself."""

RUN = """\
  mcq-jax run CONFIG [--model PATH] [--questions PATH] [overrides]
      Runs a config (a Python file in configs/) and writes a folder with tables,
      figures and report.html. Started again, it goes on where it stopped.
      `mcq-jax run CONFIG --help` lists every override. --only NAME runs one experiment
      of the card and what it needs; --again NAME drops its tables first. On several
      devices: --mesh data=4,model=2; on many hosts, each starting this command:
      --many-hosts.
"""
PLAN = """\
  mcq-jax plan MODEL [--topology v5e:4x4] [options]
      Says whether a sweep of MODEL (a checkpoint's folder, a GGUF file, or the name of
      a shape, such as chinchilla-70b) fits on those chips, in what chunks, and how long
      it takes, and with --run FOLDER what the experiments of that run would take. The
      chips need not be there. `mcq-jax plan MODEL --help` lists every option.
"""
TRAIN = """\
  mcq-jax train CARD [--steps N] [--only MEMBER] [overrides]
      Trains the models of a card (a Python file with a TrainingConfig) and writes their
      curves and checkpoints. Started again, it goes on where it stopped. On CPUs it is
      one process per core. `mcq-jax train CARD --help` lists every override.
"""
REPORT = """\
  mcq-jax report RUN [--card CARD]
      Writes the report of a run folder again, without a model; also of a run that was
      stopped. CARD brings the sections of experiments from outside the package.
"""
COMPARE = """\
  mcq-jax compare RUN RUN … [--out FILE.html]
      Writes one page on the behaviour of several run folders (comparison.html where
      left out): accuracy, letters, D; differences from the first, paired by question.
"""
USAGE = f"""\
mcq-jax: find the circuit that turns "knows the answer" into "writes its letter".

{RUN}
{PLAN}
{TRAIN}
{REPORT}
{COMPARE}
  mcq-jax --version
"""
