"""The tables of a results store: every column with its type, unit and meaning, written into each Parquet file.

What is here is the contract between runs (which write rows) and analysis (which reads them). How rows reach a disk or
a bucket, and which of them count after a crash, is `dit_grid.experiments.store`.
"""

from dataclasses import dataclass, field

import pyarrow as pa

SCHEMA_VERSION = 3
"""Version of the tables below. Later versions may add nullable columns; a reader refuses a newer version."""


@dataclass(frozen=True)
class Column:
    """One column: `unit` is empty for counts, names and ratios; `since` is the schema version that brought it."""

    name: str
    type: pa.DataType
    description: str
    unit: str = ""
    since: int = 1


@dataclass(frozen=True)
class Table:
    """A table's columns in order, and the columns that together name one row (`key`)."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    schema: pa.Schema = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = [
            pa.field(c.name, c.type, metadata={"description": c.description, "unit": c.unit}) for c in self.columns
        ]
        metadata = {"dit_grid.table": self.name, "dit_grid.schema_version": str(SCHEMA_VERSION)}
        object.__setattr__(self, "schema", pa.schema(fields, metadata=metadata))


_TEXT, _INT, _REAL = pa.string(), pa.int64(), pa.float64()
_RUN = Column("run_id", _TEXT, "model name and short hash of every field of the spec that can change a number")
_ATTEMPT = Column("attempt", _INT, "attempt of the run that wrote the row, from 1; a later attempt fences earlier ones")
_STEP = Column("step", _INT, "optimizer updates completed", "updates")
_WALL = Column("wall_unix_s", _REAL, "when the row was written, by the writer's clock; never used for ordering", "s")

RUNS = Table(
    "runs",
    key=("run_id",),
    columns=(
        _RUN,
        Column("experiment", _TEXT, "name of the spec that first asked for the run"),
        Column("model", _TEXT, "size and patch in the paper's form, e.g. XL/2"),
        Column("size", _TEXT, "S, B, L, XL or a name from the spec"),
        Column("patch", _INT, "patch side", "input pixels"),
        Column("block", _TEXT, "block design: adaln-zero, adaln, cross-attention or in-context"),
        Column("image_size", _INT, "side of the network's input (latents for ImageNet)", "input pixels"),
        Column("channels", _INT, "channels of the network's input"),
        Column("classes", _INT, "classes without the null class"),
        Column("width", _INT, "hidden width"),
        Column("depth", _INT, "number of blocks"),
        Column("heads", _INT, "attention heads"),
        Column("tokens", _INT, "image tokens a forward pass sees, (image_size / patch)^2"),
        Column("params", _INT, "trainable parameters"),
        Column("forward_macs", _INT, "multiply-accumulates of a forward pass of one image (the paper's flops)", "MAC"),
        Column("batch", _INT, "global batch", "images"),
        Column("steps", _INT, "updates the run asks for", "updates"),
        Column("seed", _INT, "seed of initialisation, data order and noise"),
        Column("dataset", _TEXT, "training data"),
        Column("spec", _TEXT, "the whole run spec as JSON"),
        Column("code_sha256", _TEXT, "hash of the installed dit_grid sources that first asked for the run"),
        Column("created_unix_s", _REAL, "when the run was first asked for", "s"),
    ),
)

TRAIN = Table(
    "train",
    key=("run_id", "step"),
    columns=(
        _RUN,
        _ATTEMPT,
        _STEP,
        Column("loss", _REAL, "training loss, mse + vb, mean over the updates since the row before"),
        Column("mse", _REAL, "noise prediction error, same mean"),
        Column("vb", _REAL, "variational bound term, same mean", "bits/dimension"),
        *(
            Column(f"loss_t{part}", _REAL, f"loss at timesteps in quarter {part} of 4, least noisy first", since=2)
            for part in (1, 2, 3, 4)
        ),
        Column("grad_norm", _REAL, "global L2 norm of the gradient, same mean"),
        Column("param_norm", _REAL, "global L2 norm of the parameters after the last update"),
        Column("learning_rate", _REAL, "learning rate of the last update"),
        Column("steps_per_s", _REAL, "updates a second over the same updates, evaluation excluded", "1/s"),
        Column("mfu", _REAL, "model FLOPs utilisation: 2 x 3 x forward_macs x batch x steps_per_s / device peak"),
        Column("data_wait_s", _REAL, "time spent waiting for data over the same updates", "s"),
        _WALL,
    ),
)

EVALS = Table(
    "evals",
    key=("run_id", "step", "metric", "protocol"),
    columns=(
        _RUN,
        _ATTEMPT,
        _STEP,
        Column("metric", _TEXT, "what was measured, e.g. fid, fd_conv, accuracy, heldout_loss"),
        Column("value", _REAL, "the measurement"),
        Column("protocol", _TEXT, "short hash of every setting below that can change the value"),
        Column("samples", _INT, "number of generated (or held-out) images", "images"),
        Column("sampler", _TEXT, "ddpm, ddim or another sampler; empty where nothing is sampled"),
        Column("sampler_steps", _INT, "network evaluations of the sampler per image, guidance not counted"),
        Column("guidance", _REAL, "classifier-free guidance scale; 1 is none"),
        Column("guidance_channels", _INT, "leading channels the guidance acts on; null for all"),
        Column("weights", _TEXT, "ema or raw"),
        Column("decoder", _TEXT, "latent decoder; empty where samples are pixels"),
        Column("seed", _INT, "seed of sampling noise and labels"),
        Column("reference", _TEXT, "name of the reference statistics or data"),
        Column("reference_sha256", _TEXT, "hash of the reference"),
        Column("features", _TEXT, "feature network or classifier"),
        Column("features_sha256", _TEXT, "hash of its weights"),
        Column("code_sha256", _TEXT, "hash of the installed dit_grid sources"),
        Column("labels", _TEXT, "uniform: any class alike, at random; null: the data's own mix", since=3),
        Column("decoder_sha256", _TEXT, "hash of the decoder's weights; null where samples are pixels", since=3),
        Column("seconds", _REAL, "time the evaluation took, shared by all metrics of one setting", "s"),
        Column("sampling_s", _REAL, "part of it spent drawing samples", "s", since=3),
        Column("decoding_s", _REAL, "part of it spent turning latents into 8-bit images", "s", since=3),
        Column("features_s", _REAL, "part of it spent in the feature network", "s", since=3),
        Column("statistics_s", _REAL, "part of it spent in statistics and scores", "s", since=3),
        _WALL,
    ),
)

EVENTS = Table(
    "events",
    key=("journal", "sequence"),
    columns=(
        Column("journal", _TEXT, "which scheduler process wrote the event"),
        Column("sequence", _INT, "order within the journal, from 0"),
        Column("run_id", _TEXT, "run concerned; empty for the grid as a whole"),
        Column("attempt", _INT, "attempt concerned; null where there is none"),
        Column("kind", _TEXT, "what happened or was decided"),
        Column("detail", _TEXT, "facts of the event as JSON"),
        _WALL,
    ),
)

TABLES = {table.name: table for table in (RUNS, TRAIN, EVALS, EVENTS)}
