"""What the documentation says that HAGs do not do, by the messages of the errors."""

import re

REFUSALS = {
    "explanations": "cannot be explained on a HAG, which has no messages per edge",
    "hooks on messages": "has hooks .* which a HAG cannot call",
    "overridden methods": "overrides '.*', which a HAG does not call",
    "arguments per edge": "cannot be used with a HAG, which shares sums",
    "weights of the HAG": "does not take a HAG with weights of its edges",
    "values without factors": "the values of 'edge_index', a sparse matrix, cannot be "
    "shared",
    "several values per edge": "is a sparse matrix with several values per edge",
    "order of edges": "this HAG does not know the order of its edges",
    "HAGs that subtract": "over a HAG that subtracts",
    "weights that are learned": "whose weights require a gradient cannot be stored",
    "matrices": "of quantized attention must be a tensor of edges",
    "compiled code": "so sums cannot be shared in compiled code",
    "not square": "needs? as many sources as destinations",
    "no layers": "contains no layer of PyG",
    "forward on the instance": "has a 'forward' of its own, set on the instance",
}
"""Patterns of messages, by what is refused."""


def refusal(error):
    """What an error refuses, or None if it is no documented refusal."""
    if not isinstance(error, ValueError | TypeError | NotImplementedError):
        return None
    text = str(error)
    return next((name for name, p in REFUSALS.items() if re.search(p, text)), None)
