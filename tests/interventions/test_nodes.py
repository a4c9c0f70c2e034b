import pytest

from mcq_jax.interventions import Node, all_nodes


def test_names_read_back_as_the_nodes_they_name():
    for node in (Node(0, 0), Node(27, 11), Node(3)):
        assert Node.parse(str(node)) == node
    assert str(Node(3, 2)) == "L3H2"
    assert str(Node(3)) == "L3MLP"


@pytest.mark.parametrize("name", ["", "H2", "L3", "L3H", "l3h2", "L3H2 ", "L3MLP2"])
def test_a_name_of_no_node_is_refused(name: str):
    with pytest.raises(ValueError, match="write L3H2 or L3MLP"):
        Node.parse(name)


def test_all_nodes_stand_in_the_order_of_a_flattened_array():
    heads, nodes = 3, all_nodes(2, 3)
    assert [str(node) for node in nodes] == [
        "L0H0", "L0H1", "L0H2", "L0MLP", "L1H0", "L1H1", "L1H2", "L1MLP",
    ]  # fmt: skip
    for index, node in enumerate(nodes):
        layer, column = divmod(index, heads + 1)
        assert node == Node.at(layer, column, heads)
        assert (node.layer, node.column(heads)) == (layer, column)


def test_sorting_restores_that_order():
    nodes = all_nodes(3, 2)
    assert tuple(sorted(reversed(nodes))) == nodes
