"""Figures of papers and of others' runs, to set beside ours.

Only those that were checked against their source are here.
"""

DEGREE_QUANT: dict[tuple[str, str, str], list[str]] = {
    ("REDDIT-BINARY", "GIN", "float32"): ["89.5 [b]"],
    ("REDDIT-BINARY", "GIN", "INT8, plain"): ["76.0 [a]"],
    ("REDDIT-BINARY", "GIN", "INT8, Degree-Quant"): ["91.8 [a]", "90.6 ± 2.0 [b]"],
    ("REDDIT-BINARY", "GIN", "INT4, plain"): ["54.1 [a]"],
    ("REDDIT-BINARY", "GIN", "INT4, Degree-Quant"): ["81.3-86.2 [a]", "83.4 ± 4.9 [b]"],
    ("IMDB-BINARY", "GIN", "INT8, Degree-Quant"): ["71.1 [b]"],
    ("IMDB-BINARY", "GIN", "INT4, Degree-Quant"): ["68.6 [b]"],
    ("PROTEINS", "GIN", "INT8, Degree-Quant"): ["73.0 [b]"],
    ("PROTEINS", "GIN", "INT4, Degree-Quant"): ["73.1 [b]"],
    ("DD", "GIN", "INT8, Degree-Quant"): ["72.9 [b]"],
    ("DD", "GIN", "INT4, Degree-Quant"): ["72.7 [b]"],
    ("IMDB-MULTI", "GIN", "INT8, Degree-Quant"): ["48.5 [b]"],
    ("IMDB-MULTI", "GIN", "INT4, Degree-Quant"): ["39.9 [b]"],
}
"""Accuracies in percent, by data set, model and method."""

DEGREE_QUANT_SOURCES = (
    "[a] the logs of the authors of Degree-Quant (Tailor et al., ICLR 2021), [b] an "
    "independent re-run (MixQ's logs)."
)

HAG_REDUCTIONS = {"COLLAB": (3.3, 2.2)}
"""How many times fewer aggregations and data transfers, by data set."""

HAG_SOURCE = (
    "Published: Jia et al., *Redundancy-Free Computation for Graph Neural Networks*, "
    "KDD 2020, with 1.5 to 6.3 times fewer aggregations over all its data sets."
)
