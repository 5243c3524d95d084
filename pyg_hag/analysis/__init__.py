"""What a HAG would save on a graph, before anything is trained."""

from pyg_hag.analysis.figure import plot_savings
from pyg_hag.analysis.graph import WIDTHS, analyze
from pyg_hag.analysis.report import Analysis, Forecast

__all__ = ["WIDTHS", "Analysis", "Forecast", "analyze", "plot_savings"]
