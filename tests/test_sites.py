"""Sites: the grammar of addresses, patterns, and the order of execution."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import levelhead as lh
import tiny
from levelhead.errors import SiteError
from levelhead.sites import COMPONENTS, LAYERLESS, Site, covers, resolve

HEADS, LAYERS = 4, 6
LAYERED = [name for name in COMPONENTS if name not in LAYERLESS]


def a_hybrid_model() -> list[Site]:
    """Six language layers, attention in every other one, and a vision tower of three."""
    sites = [Site("ln_final"), Site("projector"), Site("ln_final", tower="vision")]
    for layer in range(LAYERS):
        sites += [Site("resid_pre", layer), Site("mlp_out", layer), Site("resid_post", layer)]
        if layer % 2 == 0:
            sites += [Site("z", layer), *(Site("z", layer, head) for head in range(HEADS))]
    for layer in range(3):
        sites += [Site("resid_post", layer, tower="vision"), Site("z", layer, tower="vision")]
        sites += [Site("z", layer, head, "vision") for head in range(2)]
    return sites


HAVE = a_hybrid_model()


@st.composite
def any_site(draw: st.DrawFn) -> Site:
    component = draw(st.sampled_from(COMPONENTS))
    if component == "projector":
        return Site("projector")
    layer = None if component in LAYERLESS else draw(st.integers(0, 200))
    head = draw(st.none() | st.integers(0, 200)) if component == "z" else None
    return Site(component, layer, head, draw(st.sampled_from(("language", "vision"))))


@given(any_site())
@settings(deadline=None)
def test_what_is_written_can_be_read_again(site: Site) -> None:
    assert Site.parse(str(site)) == site
    assert Site.parse(site) is site
    assert str(site) in repr(site)
    assert len({site, Site.parse(str(site))}) == 1
    assert site.whole == Site.parse(str(site).rsplit(".", 1)[0] if site.head is not None else str(site))


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("resid_post.14", ("resid_post", 14, None, "language")),
        ("z.14.3", ("z", 14, 3, "language")),
        ("z.0", ("z", 0, None, "language")),
        ("ln1.7", ("ln1", 7, None, "language")),
        ("ln_final", ("ln_final", None, None, "language")),
        ("vision/resid_post.5", ("resid_post", 5, None, "vision")),
        ("vision/z.5.1", ("z", 5, 1, "vision")),
        ("projector", ("projector", None, None, "projector")),
    ],
)
def test_the_documented_forms_mean_what_the_docs_say(text: str, fields: tuple[Any, ...]) -> None:
    site = Site.parse(text)
    assert (site.component, site.layer, site.head, site.tower) == fields
    assert str(site) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("resid_pots.3", ["unknown component 'resid_pots'", "did you mean 'resid_post'?", "mlp_out"]),
        ("quux.3", ["unknown component 'quux'; components are resid_pre"]),
        ("resid_post", ["'resid_post'", "needs a layer", "'resid_post.3'"]),
        ("ln_final.2", ["'ln_final' takes no layer"]),
        ("projector.2", ["'projector' takes no layer"]),
        ("vision/projector", ["stands alone", "without a tower"]),
        ("audio/resid_post.1", ["unknown tower 'audio'", "'vision'"]),
        ("mlp_out.3.1", ["names a head", "'mlp_out' has none", "write 'z.3.1'"]),
        ("resid_post.-1", ["negative layer", "only a model can resolve"]),
        ("z.2.-1", ["negative head"]),
        ("resid_post.*", ["is a pattern (layer '*')", "one site was asked for"]),
        ("z.2.1:3", ["is a pattern (head '1:3')"]),
        ("resid_post 3", ["cannot read site 'resid_post 3'", "[tower/]component[.layer[.head]]"]),
        ("resid_post.3\n", ["cannot read site"]),
        ("z.1.2.3", ["cannot read site"]),
        ("", ["cannot read site ''"]),
    ],
)
def test_a_bad_address_is_refused_with_what_to_write_instead(text: str, says: list[str]) -> None:
    with pytest.raises(SiteError) as caught:
        Site.parse(text)
    for part in says:
        assert part.lower() in str(caught.value).lower()
    assert isinstance(caught.value, ValueError)


def test_resid_mid_is_the_one_site_that_cannot_be_written() -> None:
    assert [name for name in LAYERED if not Site(name, 0).writable] == ["resid_mid"]


# -- patterns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("resid_post.*", [f"resid_post.{i}" for i in range(LAYERS)]),
        ("mlp_out.2:4", ["mlp_out.2", "mlp_out.3"]),
        ("mlp_out.:2", ["mlp_out.0", "mlp_out.1"]),
        ("mlp_out.4:", ["mlp_out.4", "mlp_out.5"]),
        ("mlp_out.-2:", ["mlp_out.4", "mlp_out.5"]),
        ("z.2.*", [f"z.2.{head}" for head in range(HEADS)]),
        ("z.*", ["z.0", "z.2", "z.4"]),
        ("z.*.-1", ["z.0.3", "z.2.3", "z.4.3"]),
        ("z.4.1:3", ["z.4.1", "z.4.2"]),
        ("vision/z.-1.*", ["vision/z.2.0", "vision/z.2.1"]),
        ("ln_final", ["ln_final"]),
        (["projector", "vision/ln_final", "projector"], ["vision/ln_final", "projector"]),
        ([Site("mlp_out", 3), "mlp_out.2:4"], ["mlp_out.2", "mlp_out.3"]),
    ],
)
def test_a_pattern_names_sites_once_and_in_execution_order(pattern: Any, names: list[str]) -> None:
    assert [str(site) for site in resolve(pattern, reversed(HAVE))] == names


def test_trap_06_layer_zero_and_negative_layers() -> None:
    assert resolve("resid_post.0", HAVE) == [Site("resid_post", 0)]
    assert resolve("resid_post.-1", HAVE) == [Site("resid_post", LAYERS - 1)]
    assert resolve(f"resid_post.-{LAYERS}", HAVE) == [Site("resid_post", 0)]
    # The last layer of the tower, though the last layer with attention is 4.
    assert resolve("z.-2", HAVE) == [Site("z", 4)]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("resid_post.6", ["layer 6 was asked for, and there are 6 (layers 0 to 5)"]),
        ("resid_post.-7", ["layer -7 was asked for, and there are 6"]),
        ("resid_post.4:9", ["layers 4:9 were asked for, and there are 6 (layers 0 to 5)"]),
        ("resid_post.-9:3", ["layers -9:3 were asked for, and there are 6"]),
        ("resid_post.3:3", ["layers 3:3 were asked for"]),
        ("resid_post.4:2", ["layers 4:2 were asked for"]),
        ("z.0.4", ["head 4 was asked for, and there are 4 (heads 0 to 3)"]),
        ("z.1", ["matches no site", "'z' is present at layers 0, 2, 4"]),
        ("resid_post.x", ["cannot read layer 'x'", "'a:b', or '*'"]),
        ("resid_post.-:3", ["cannot read layer '-:3'"]),
        ("resid_post.0:4:2", ["cannot read layer '0:4:2'"]),
        ("resid_post.0.1", ["names a head, and 'resid_post' has none", "'z.0.1'"]),
        ("resid_post", ["needs a layer", "'resid_post.*'"]),
        ("ln_final.*", ["takes no layer"]),
        ("ln2_post.*", ["no 'ln2_post' in its language tower", "it has resid_pre, z, mlp_out, resid_post, ln_final"]),
        ([], ["no site was asked for", "'resid_post.*'"]),
    ],
)
def test_a_pattern_that_names_nothing_says_what_there_is(pattern: Any, says: list[str]) -> None:
    with pytest.raises(SiteError) as caught:
        resolve(pattern, HAVE)
    for part in says:
        assert part in str(caught.value)


def test_a_pattern_for_a_tower_that_the_model_lacks_says_which_it_has() -> None:
    with pytest.raises(SiteError, match=r"no vision tower that could be addressed; it has language"):
        resolve("vision/resid_post.*", [Site("resid_post", 0)])


def parts(largest: int) -> st.SearchStrategy[str]:
    number = st.integers(-largest - 1, largest + 1)
    edge = number.map(str) | st.just("")
    return st.just("*") | number.map(str) | st.tuples(edge, edge).map(":".join)


@st.composite
def any_pattern(draw: st.DrawFn) -> str:
    tower, component = draw(st.sampled_from([("", "resid_post"), ("", "z"), ("vision/", "z"), ("", "mlp_out")]))
    pattern = f"{tower}{component}.{draw(parts(LAYERS))}"
    return f"{pattern}.{draw(parts(HEADS))}" if component == "z" and draw(st.booleans()) else pattern


def picked(part: str, index: int, size: int) -> bool:
    """The independent reading: what Python's own indexing picks out of a list."""
    numbers = list(range(size))
    if part == "*":
        return True
    if ":" in part:
        start, stop = (int(x) if x else None for x in part.split(":"))
        return index in numbers[start:stop]
    return -size <= int(part) < size and numbers[int(part)] == index


@given(any_pattern())
@settings(deadline=None, max_examples=200)
def test_resolve_and_covers_agree_with_plain_indexing(pattern: str) -> None:
    vision = pattern.startswith("vision/")
    component, layer, *head = pattern.removeprefix("vision/").split(".")
    depth, heads = (3, 2) if vision else (LAYERS, HEADS)
    expected = [
        site
        for site in sorted(HAVE)
        if (site.component, site.tower) == (component, "vision" if vision else "language")
        and picked(layer, site.layer or 0, depth)
        and (site.head is None) == (not head)
        and (not head or picked(head[0], site.head or 0, heads))
    ]
    try:
        found = resolve(pattern, HAVE)
    except SiteError as error:
        # Also for a slice that goes beyond what there is, which would otherwise be cut in silence.
        assert not expected or "were asked for" in str(error)
    else:
        assert found == expected
    if not (head and "-" in head[0]):
        assert [site for site in sorted(HAVE) if covers(pattern, site, depth)] == expected


def test_covers_needs_no_model_until_a_pattern_counts_from_the_end() -> None:
    assert covers("resid_post.2:40", Site("resid_post", 3))
    assert not covers("resid_post.20", Site("resid_post", 3))
    assert not covers("z.3.5", Site("z", 3, 2))
    assert not covers("z.3.*", Site("z", 3))
    assert covers(["mlp_out.*", "z.3"], Site("z", 3))
    with pytest.raises(SiteError, match="counts layers from the end, which needs a model"):
        covers("resid_post.-1", Site("resid_post", 3))
    with pytest.raises(SiteError, match="counts heads from the end, which needs a model"):
        covers("z.3.-1", Site("z", 3, 0), 6)


# -- order ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2", "gemma3", "llava", "qwen2_5_vl"])
def test_sorted_sites_are_in_the_order_in_which_a_forward_pass_comes_by(name: str) -> None:
    graph = lh.graph(tiny.ARCHITECTURES[name].model())
    places: dict[tuple[str, str], list[Site]] = {}
    for site in graph.sites():
        if site.head is None:
            places.setdefault(graph.locate(site).place, []).append(site)
    passed: list[tuple[str, str]] = []
    touches = [(graph.locate(sites[0]), lambda _, place=place: passed.append(place)) for place, sites in places.items()]
    with graph.touched(reversed(touches)):
        graph.logits(tiny.ARCHITECTURES[name].batch())
    assert [site for place in passed for site in places[place]] == [s for s in graph.sites() if s.head is None]


def test_heads_follow_the_tensor_that_holds_them() -> None:
    assert sorted([Site("z", 1, 1), Site("attn_out", 1), Site("z", 1), Site("z", 1, 0), Site("ln1", 1)]) == [
        Site("ln1", 1),
        Site("z", 1),
        Site("z", 1, 0),
        Site("z", 1, 1),
        Site("attn_out", 1),
    ]
