"""The bytes of a lifecycle configuration: foreign bytes are never changed."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.lifecycle.document import OURS, Configuration, read
from storage.lifecycle.errors import LifecycleUnreadable
from storage.lifecycle.rules import Act, LifecycleRule
from storage.lifecycle.xml import parse, render

letters = st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff\r")
words = st.text(letters, max_size=12)
names = st.sampled_from(["Expiration", "Days", "Filter", "Fancy", "Rule", "ID", "Tag", "And", "Prefix"])


@st.composite
def elements(draw: st.DrawFn, deep: int = 2) -> str:
    """Draw an element that the code need not understand: attributes, CDATA, comments, nested rules."""
    name, word = draw(names), draw(words)
    attribute = draw(st.sampled_from(["", f" a={quoteattr(draw(words) + '>/')}", "  ", "\n b='\">'"]))
    inner = draw(
        st.sampled_from(
            [
                escape(word),
                f"<![CDATA[<Rule>{word.replace(']', '')}]]>",
                "<!-- <Rule> > -->",
                "<?pi <Rule> ?>",
            ]
        )
    )
    if deep:
        inner += "".join(draw(st.lists(elements(deep=deep - 1), max_size=2)))
    return draw(st.sampled_from([f"<{name}{attribute}>{inner}</{name} >", f"<{name}{attribute}/>"]))


@st.composite
def foreign_rules(draw: st.DrawFn) -> str:
    id = draw(st.sampled_from(["", "<ID/>", f"<ID>{escape(draw(words))}x</ID>", "<ID>a</ID><ID>b</ID>"]))
    body = "".join(draw(st.lists(elements().filter(lambda e: not e.startswith("<ID")), max_size=3)))
    return draw(
        st.sampled_from([f"<Rule>{id}{body}</Rule>", f"<Rule x='>'>\n {body}{id}</Rule\n>", "<Rule/>"])
    )


our_rules = st.sampled_from([f"<Rule><ID>{OURS}{n}</ID><Status>Enabled</Status></Rule>" for n in "abc"])
gaps = st.sampled_from(["", "\n  ", "<!-- <Rule> -->", "<?go <Rule/> ?>", "<Updated>now</Updated>", " text "])


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    head = draw(st.sampled_from(["", '<?xml version="1.0"?>\n', "<?xml version='1.0' encoding='UTF-8'?>"]))
    space = draw(st.sampled_from(["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', " a='>'"]))
    inner = "".join(
        draw(gaps) + one for one in draw(st.lists(st.one_of(foreign_rules(), our_rules), max_size=6))
    )
    mark = draw(st.sampled_from(["", "\ufeff"]))
    return (
        f"{mark}{head}<LifecycleConfiguration{space}>{inner}{draw(gaps)}</LifecycleConfiguration>\n".encode()
    )


wanted_rules = st.dictionaries(
    st.sampled_from([f"{OURS}{n}" for n in "abcd"]), st.integers(1, 99), max_size=4
).map(
    lambda days: {
        id: render(LifecycleRule(id=id, acts=(Act("abort", n),), prefix="temp/")) for id, n in days.items()
    }
)


@settings(max_examples=100, deadline=None)
@given(documents())
def test_the_pieces_together_are_the_document(document: bytes) -> None:
    found = read(document)
    if found.pieces:
        assert bytes(found) == document


QUOTED = (
    b'<LifecycleConfiguration note="a > b"><Rule why=">"><ID>theirs</ID><Status>Enabled</Status></Rule>'
    b"</LifecycleConfiguration>"
)


@settings(max_examples=150, deadline=None)
@example(QUOTED, {f"{OURS}a": render(LifecycleRule(id=f"{OURS}a", acts=(Act("abort", 1),), prefix="temp/"))})
@given(documents(), wanted_rules)
def test_every_byte_of_others_goes_from_the_get_to_the_put(document: bytes, wanted: dict[str, bytes]) -> None:
    before = read(document)
    put = before.with_ours(wanted)
    if not put:
        assert not wanted
        assert not before.foreign
        return
    after = read(put)
    assert [piece.raw for piece in after.foreign] == [piece.raw for piece in before.foreign]
    assert {id: piece.raw for id, piece in after.ours.items()} == wanted
    assert without_ours(after) == without_ours(before)


def without_ours(one: Configuration) -> bytes:
    """Return every byte outside our rules: foreign rules, spaces, comments, head and tail."""
    return one.head + b"".join(piece.raw for piece in one.pieces if not piece.ours) + one.tail


@settings(max_examples=60, deadline=None)
@given(documents(), wanted_rules)
def test_doing_it_twice_changes_nothing(document: bytes, wanted: dict[str, bytes]) -> None:
    once = read(document).with_ours(wanted)
    assert (read(once).with_ours(wanted) if once else b"") == once


def test_a_rule_of_ours_keeps_its_place() -> None:
    text = f"<L><Rule><ID>x</ID></Rule> <Rule><ID>{OURS}a</ID></Rule> <Rule><ID>y</ID></Rule></L>"
    document = text.replace("L>", "LifecycleConfiguration>").encode()
    put = read(document).with_ours({f"{OURS}b": b"<Rule>b</Rule>", f"{OURS}a": b"<Rule>a</Rule>"})
    assert put == document.replace(f"<Rule><ID>{OURS}a</ID></Rule>".encode(), b"<Rule>a</Rule>").replace(
        b"</Lif", b"<Rule>b</Rule></Lif"
    )


def test_under_a_root_with_a_prefix_our_rules_name_their_name_space() -> None:
    root, inner = "s:LifecycleConfiguration", "<s:Rule><s:ID>a</s:ID></s:Rule>"
    document = f'<{root} xmlns:s="urn:x">{inner}</{root}>'.encode()
    found = read(document)
    assert found.space == "urn:x"
    one = LifecycleRule(id=f"{OURS}a", acts=(Act("abort", 7),))
    put = found.with_ours({one.id: render(one, found.space)})
    assert b'<Rule xmlns="urn:x">' in put
    piece = read(put).ours[one.id]
    assert piece.node is not None
    assert parse(one.id, piece.node) == one


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"no xml",
        b"<LifecycleConfiguration>",
        b"<Other/>",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><LifecycleConfiguration>&a;</LifecycleConfiguration>",
        "<LifecycleConfiguration/>".encode("utf-16"),
    ],
)
def test_what_cannot_be_read_is_not_touched(document: bytes) -> None:
    with pytest.raises(LifecycleUnreadable, match="Nothing was changed"):
        read(document)


@pytest.mark.parametrize(
    "document", [None, b"<LifecycleConfiguration/>", b"<LifecycleConfiguration></LifecycleConfiguration>"]
)
def test_no_rules_at_all(document: bytes | None) -> None:
    assert read(document) == Configuration()
    assert read(document).with_ours({}) == b"", "a store takes no empty configuration: it is cleared"


@pytest.mark.parametrize("id", [f" {OURS}a", f"{OURS.upper()}a", f"x{OURS}a", "storage-platform"])
def test_an_id_that_is_nearly_ours_is_somebody_else_s(id: str) -> None:
    document = f"<LifecycleConfiguration><Rule><ID>{id}</ID></Rule></LifecycleConfiguration>".encode()
    assert [piece.id for piece in read(document).foreign] == [id]
    assert read(document).with_ours({}) == document


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("<Filter><Prefix></Prefix></Filter>", "<Filter/>", True),
        ("<Filter><Prefix></Prefix></Filter>", "", True),
        ("<Filter><Prefix>a/</Prefix></Filter>", "<Filter/>", False),
        ("<Tag><Key>k</Key><Value/></Tag>", "<Tag><Key>k</Key></Tag>", True),
        ("<Tag><Key>k</Key><Value>v</Value></Tag>", "<Tag><Key>k</Key></Tag>", False),
        ("<A>1</A> <B>2</B>", "<B>2</B><!-- x --><A> 1 </A>", True),
        ("<Fancy/>", "", False),
        ("<Tag><Key>a</Key><Value>b</Value></Tag>", "<Tag><Key>b</Key><Value>a</Value></Tag>", False),
    ],
)
def test_what_means_the_same(first: str, second: str, same: bool) -> None:
    one, other = (
        read(f"<LifecycleConfiguration><Rule>{x}<ID>a</ID></Rule></LifecycleConfiguration>".encode()).rules[0]
        for x in (first, second)
    )
    assert one.node is not None
    assert other.node is not None
    assert (one.node.meaning() == other.node.meaning()) is same
