"""Read the zoo's YAML files: plain data, and the one Python tag that the zoo itself writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import MAX_DEPTH, measure_depth, one_line, read_bounded

MAX_BYTES = 256 * 1024
#: nodes of a document with all aliases expanded, against documents that double at each alias
MAX_NODES = 20_000
#: characters of a number; Python refuses to write those of more than 4300 digits
MAX_DIGITS = 100

ORDERED_DICT = "tag:yaml.org,2002:python/object/apply:collections.OrderedDict"


class ZooLoader(yaml.SafeLoader):
    """Plain YAML and ``!!python/object/apply:collections.OrderedDict``, which becomes a dict."""

    def get_single_node(self) -> Any:
        """The root node of the document, after its expanded size is checked."""
        node = super().get_single_node()
        if node is not None:
            _count_nodes(node, {})
        return node


def _read_ordered_dict(loader: ZooLoader, node: yaml.Node) -> dict[Any, Any]:
    if not isinstance(node, yaml.SequenceNode):
        raise yaml.constructor.ConstructorError(None, None, "no list of pairs", node.start_mark)
    arguments = loader.construct_sequence(node, deep=True)
    try:
        (pairs,) = arguments or [[]]
        return {key: value for key, value in pairs}
    except (TypeError, ValueError) as error:
        raise yaml.constructor.ConstructorError(
            None, None, "no list of pairs", node.start_mark
        ) from error


def _read_int(loader: ZooLoader, node: yaml.ScalarNode) -> int:
    if len(node.value) > MAX_DIGITS:
        raise yaml.constructor.ConstructorError(None, None, "a number too long", node.start_mark)
    return int(loader.construct_yaml_int(node))


ZooLoader.add_constructor(ORDERED_DICT, _read_ordered_dict)
ZooLoader.add_constructor("tag:yaml.org,2002:int", _read_int)


def _count_nodes(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Number of nodes in a node, with all aliases expanded.

    :param node: node to count
    :param sizes: sizes of the nodes already counted, by ``id``; 0 for a node being counted
    :raises yaml.YAMLError: if the node contains itself, or more than :data:`MAX_NODES`
    """
    known = sizes.get(id(node))
    if known == 0:
        raise yaml.YAMLError("a node contains itself")
    if known is None:
        sizes[id(node)] = 0
        known = 1
        if isinstance(node, yaml.CollectionNode):
            for child in node.value:
                for part in child if isinstance(child, tuple) else (child,):
                    known += _count_nodes(part, sizes)
                if known > MAX_NODES:
                    raise yaml.YAMLError(f"more than {MAX_NODES} nodes")
        sizes[id(node)] = known
    return known


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty for an empty file.

    :param path: path of the file
    :raises ExplainError: if the file holds no mapping of names, a tag that stands for code, or
        aliases that expand without limit
    """
    content = read_bounded(path, MAX_BYTES)
    loader = None
    try:
        loader = ZooLoader(content)
        document = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ExplainError(
            f"{path.name} is not a zoo configuration ({place}{error.problem})"
        ) from error
    # Broken numbers, truth values and dates lead to any error within PyYAML: an IndexError, ...
    except Exception as error:
        raise ExplainError(f"{path.name} is not a zoo configuration ({one_line(error)})") from error
    finally:
        if loader is not None:
            loader.dispose()
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise ExplainError(f"{path.name} is not a zoo configuration (no mapping of names)")
    if measure_depth(document) > MAX_DEPTH:
        raise ExplainError(f"{path.name} is not a zoo configuration (it is nested too deep)")
    return document
