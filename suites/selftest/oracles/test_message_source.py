"""The statement that printed a message, and its condition."""

from __future__ import annotations

import pytest

from errpath.oracles.message_source import find_message

_BTREE = """\
static void other(void)
{
    pr_err("other %s\\n", name);
}

void hfs_btree_close(struct hfs_btree *tree)
{
    int i;

    for (i = 0; i < NODE_HASH_SIZE; i++) {
        while ((node = tree->node_hash[i])) {
            tree->node_hash[i] = node->next_hash;
            if (atomic_read(&node->refcnt) &&
                !tree->gone)
                pr_err("node %d:%d still has %d user(s)!\\n",
                        node->tree->cnid, node->this,
                        atomic_read(&node->refcnt));
            hfs_bnode_free(node);
        }
    }
    if (!tree) {
        free(tree);
        pr_warn("no tree of "
            "%pV\\n", tree);
    } else
        pr_info("it is gone\\n");
    pr_info("always at the end %#llx\\n", 1);
}
""".replace("    ", "\t")
_SOURCES = {"fs/hfs/btree.c": _BTREE, "fs/hfs/empty.c": ""}


@pytest.mark.parametrize(
    ("text", "line", "condition"),
    [
        (
            "hfs: node 4:1 still has 2 user(s)!",
            15,
            "if (atomic_read(&node->refcnt) && !tree->gone)",
        ),
        ("hfs: no tree of loop0", 23, "if (!tree)"),
        ("hfs: it is gone", 26, "} else"),
        ("always at the end 0x1", 27, ""),
    ],
)
def test_the_statement_and_its_condition(text: str, line: int, condition: str) -> None:
    found = find_message(text, _SOURCES)
    assert found is not None
    assert (found.place.function, found.place.file) == ("hfs_btree_close", "fs/hfs/btree.c")
    assert found.place.line == line
    assert found.condition == condition


@pytest.mark.parametrize("text", ["", "other x", "node 4:1 still has users", "it is gone for ever"])
def test_no_statement_prints_that(text: str) -> None:
    assert find_message(text, _SOURCES) is None


def test_the_longer_format_is_the_one() -> None:
    sources = {"a.c": 'void f(void)\n{\n\tp("%s: is bad\\n");\n\tp("the node %s: is bad\\n");\n}\n'}
    found = find_message("the node 3: is bad", sources)
    assert found is not None
    assert found.place.line == 4
