"""The report's and the index's text, the pictures of the slices and the viewer's volumes, without a browser."""

import base64
import hashlib
import html
import io
import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_helpers import (
    DIRECTIONS,
    Tags,
    found_in,
    left_front_upper_case,
    phantom_case,
    results_of,
    small_case,
    write_phantom_report,
)

import model
from model.errors import UserError
from model.images.case import Case
from model.images.checks import ESTIMATED_WARNING
from model.report.case_page import write_report
from model.report.folder_page import write_index
from model.report.lesion_table import lesion_table
from model.report.montage import choose_slices, colour_png, make_view, montage, outline
from model.report.page import ASSETS, asset
from model.report.review_panel import SCRIPTS
from model.report.thumbnail import thumbnail

HOSTILE = "</title></script><script>alert(1)</script><img src=x onerror='alert(2)'>\" {0} $x & \udcff"
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
ENDS = dict(zip("LASRPI", "RPILAS", strict=True))  # what lies opposite
DONE = {"status": "done", "reason": "", "report": None}


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The phantom's."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_phantom_report(path)
    return path


def words_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def lesion_rows(page: Path) -> list[list[str]]:
    return [row for row in Tags(page).rows if len(row) == 7 and row[0] != "Lesion"]


def test_the_lesion_table_is_what_the_results_say(report):
    """By the phantom: its second lesion lies left, behind and above the middle. Every slice that it leads to is shown."""
    results, rows = results_of(*phantom_case()), lesion_rows(report)
    assert len(rows) == results["lesions"] == 6
    for number, (row, lesion) in enumerate(zip(rows, results["lesion_list"], strict=True), 1):
        assert row[:2] == [str(number), lesion["side"]]
        assert int(row[2]) == lesion["slice"]
    assert re.fullmatch(r"\d+ left, \d+ posterior, \d+ superior", rows[1][4])
    elements = Tags(report).elements
    targets = [a["href"][1:] for _, a in elements if a.get("href", "").startswith("#slice-")]
    assert len(targets) == 6
    assert set(targets) <= {a.get("id") for _, a in elements}


def lesion(volume_ml: float, **more: object) -> dict:
    values = {"volume_ml": volume_ml, "lowest_z": -3.14, "inside_mm": [1, 2, 3], "from_brain_centre_mm": [-12.4, 0.4, 7.6]}
    return values | {"side": "right", "slice": 3, "chance_real": 0.806} | more


def table_of(*lesions: dict, figures: tuple[int, ...] = (), **more: object) -> str:
    return lesion_table({"lesion_list": list(lesions), "brain_volume_ml": 400.0} | more, figures)


def test_a_row_as_a_reader_writes_it_and_without_a_column_for_chances_that_the_weights_do_not_say():
    table = table_of(lesion(4.8))
    heads, cells = (re.findall(rf"<{tag}[ >][^<]*</{tag}>", table) for tag in ("th", "td"))
    heads, cells = ([re.sub("<.*?>", "", cell) for cell in some] for some in (heads, cells))
    assert dict(zip(heads[1:], cells, strict=True)) == {
        "Side": "right",
        "Position from the brain&#x27;s centre, mm": "12 right, 8 superior",
        "Slice": "3",
        "Volume, ml": "4.8",
        "Lowest Z": f"{MINUS}3.1",
        "Real, %": "81",
    }
    without = table_of(lesion(4.8, chance_real=None))
    assert ">Real, %</th>" not in without
    assert re.findall(r"<td[^>]*>(.*?)</td>", without)[-1] == f"{MINUS}3.1"


def test_small_lesions_fold_into_one_line():
    page = table_of(lesion(4.8), lesion(0.05), *[lesion(0.0231)] * 13)
    before, folded = page.split('<details id="small-lesions"')
    assert (before.count("<tr><th"), folded.count("<tr><th")) == (3, 14)  # with a head each
    assert re.search(r"<summary>13 more, 0\.3 ml in all<", folded)
    assert "small-lesions" not in table_of(lesion(0.05))
    alone = table_of(lesion(0.0499))
    assert "No lesion of 0.05 ml or more." in alone
    assert "<summary>1 smaller, 0.05 ml in all<" in alone


def test_a_lesions_slice_leads_to_its_figure_where_there_is_one():
    words = "Slices that are no links have no figure: the page shows 2."
    table = table_of(lesion(4.8), lesion(1.0, slice=9), figures=(3, 4))
    assert ('<a href="#slice-3">3</a>' in table, "#slice-9" in table, words in table) == (True, False, True)
    assert "no figure" not in table_of(lesion(4.8), lesion(1.0, slice=4), figures=(3, 4))


def test_an_estimated_z_map_is_called_so(tmp_path, report):
    assert "estimated" not in words_of(report).split("<main>")[0]
    write_phantom_report(tmp_path / "report.html", z_map="estimated", warnings=[ESTIMATED_WARNING, "odd"])
    page = words_of(tmp_path / "report.html")
    words = "Z map estimated from the ADC: the mask is much less reliable than with the challenge&#x27;s Z map."
    assert f"<ul><li>{words}</li><li>odd</li></ul>" in page.split("<main>")[0]
    assert "Lowest Z, estimated" in page
    assert page.count("Z map, estimated") == 3  # the choice and the legend of the viewer, the legend of the slices


def test_where_the_sides_are_not_known_none_is_shown(tmp_path):
    case, label = phantom_case()
    case = replace(case, adc=replace(case.adc, oriented=False))
    write_report(tmp_path / "report.html", "a", case, found_in(case, label), results_of(case, label))
    page = words_of(tmp_path / "report.html")
    assert "left and right are not known" in page.split("<main>")[0]
    assert {(row[1], row[4]) for row in lesion_rows(tmp_path / "report.html")} == {("not known", "not known")}
    assert make_view(case).letters == ("", "", "", "")


def test_summary_checks_and_provenance(report):
    results, page = results_of(*phantom_case()), words_of(report)
    assert f'id="lesion_volume_ml">{results["lesion_volume_ml"]:.1f} ml<' in page
    assert f'id="lesion_share_of_brain">{100 * results["lesion_share_of_brain"]:.1f} %<' in page
    assert f'id="largest">{results["lesion_list"][0]["volume_ml"]:.1f} ml, right<' in page
    label = phantom_case()[1]
    z = int(label.sum(axis=(1, 2)).argmax())
    assert f"slice {z + 1} of 30, mask {label[z].sum() * 1.5 * 1.6 / 100:.2f} cm²<" in page
    assert "<li>the Z map&#x27;s smallest value is -10.0</li>" in page.split("<main>")[0]
    rows = [row for row in Tags(report).rows if len(row) == 2]
    assert rows == [
        ["Both maps", f"76 {TIMES} 88 {TIMES} 30 voxels (x, y, z) of 1.5 {TIMES} 1.6 {TIMES} 3 mm"],
        ["Z map", "given"],
        ["Weights", "0123456789abcdef"],
        ["Device", "cpu"],
        ["numpy", "2.4.6"],
        ["torch", "2.13.0"],
    ]


def test_every_page_says_what_it_is_and_what_made_it(tmp_path, report):
    """The report repeats the viewer's licence, and says nothing of a browser that lacks something before that is known."""
    results = results_of(*phantom_case())
    entries = [DONE | {"case": name, "results": results | {"weights": name}} for name in ("w2", "w1")]
    write_index(tmp_path / "index.html", entries)
    write_index(tmp_path / "empty.html", [])
    made_with = {report: "weights 0123456789abcdef", "index.html": "weights w1, w2", "empty.html": "no weights used"}
    for name, words in made_with.items():
        page = words_of(tmp_path / name)
        assert page.count("Research use, not a medical device.") == 2  # above and below
        assert f"hie-lesions {model.__version__}, {words}." in page
    assert "0 cases: 0 done, 0 failed." in words_of(tmp_path / "empty.html")
    assert "Copyright (c) 2021, Niivue" in words_of(report)
    (notice,) = [a for _, a in Tags(report).elements if a.get("id") == "viewer-notice"]
    assert "hidden" in notice
    (without_script,) = re.findall("<noscript>.*?</noscript>", words_of(report))
    assert "needs JavaScript" in without_script


def test_hostile_text_stays_text(tmp_path, report):
    case, label = phantom_case()
    results = results_of(case, label) | {"warnings": [HOSTILE], "software": {HOSTILE: HOSTILE}, "weights": HOSTILE}
    results["lesion_list"][0]["lowest_z"] = HOSTILE
    write_report(tmp_path / "report.html", HOSTILE, case, found_in(case, label), results)
    entries = [
        DONE | {"case": HOSTILE, "results": results, "report": f"{HOSTILE}/report.html"},
        {"case": HOSTILE, "status": "failed", "reason": HOSTILE, "results": None, "report": None},
    ]
    write_index(tmp_path / "index.html", entries)
    write_index(tmp_path / "plain-index.html", [entry | {"case": "a", "reason": "b"} for entry in entries])
    for hostile, plain in (("report.html", report), ("index.html", tmp_path / "plain-index.html")):
        elements = Tags(tmp_path / hostile).elements
        scripts, plain_scripts = (sum(tag == "script" for tag, _ in some) for some in (elements, Tags(plain).elements))
        assert scripts == plain_scripts
        images = [attributes for tag, attributes in elements if tag == "img"]
        assert all(attributes["src"].startswith("data:image/webp;base64,") for attributes in images)
        assert not [tag for tag, attributes in elements if "onerror" in attributes]
        assert html.escape(HOSTILE.replace("\udcff", "?")) in words_of(tmp_path / hostile)


def test_the_policy_allows_the_pages_own_scripts_alone(report):
    page = words_of(report)
    policy = next(a["content"] for tag, a in Tags(report).elements if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"unsafe|https?:|\*|connect-src", policy)
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    scripts = re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", page, re.DOTALL)
    expected = [*scripts, asset("niivue.umd.js")]
    assert sorted(allowed) == sorted(base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in expected)
    for name in (*SCRIPTS, "index.js", "page.css"):  # none of them can end its element
        assert not re.search(r"</|\r", asset(name)), name


def test_the_bundle_is_the_one_that_its_readme_names():
    digest = hashlib.sha256((ASSETS / "niivue.umd.js").read_bytes()).hexdigest()
    assert digest in (ASSETS / "README.md").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match=r"report\.html: cannot be written"):
        write_phantom_report(tmp_path / "nowhere" / "report.html")
    with pytest.raises(UserError, match=r"index\.html: cannot be written"):
        write_index(tmp_path / "nowhere" / "index.html", [])


def test_the_outline_goes_along_the_pixels_edges():
    mask = np.zeros((3, 4), bool)
    mask[1, 1:3] = mask[2, 2] = True
    lines = set(re.findall(r"M\d+ \d+[hv]\d+", outline(mask)))
    assert lines == {"M1 1h2", "M1 2h1", "M2 3h1", "M1 1v1", "M2 2v1", "M3 1v2"}
    assert outline(np.zeros((3, 4), bool)) == ""
    assert set(re.findall(r"M\d+ \d+[hv]\d+", outline(np.ones((2, 3), bool)))) == {"M0 0h3", "M0 2h3", "M0 0v2", "M3 0v2"}


def test_shades_of_a_slice():
    plane, brain = np.array([[300.0, 100, 150, 200, 999]]), np.array([[False, True, True, True, True]])
    image = Image.open(io.BytesIO(colour_png(plane, brain, (100, 200), ("000000", "ffffff")))).convert("RGB")
    assert np.asarray(image)[0].tolist() == [[0] * 3, [0] * 3, [128] * 3, [255] * 3, [255] * 3]


def sides_of_the_mask(case: Case, mask: np.ndarray) -> tuple[set[str], set[str]]:
    """The letters at the edges that the mask lies near to and far from, in its largest slice as it is shown."""
    view, index = make_view(case), int(np.argmax(mask.sum(axis=(1, 2))))
    shown = view.cut(mask[index])
    top_left = np.argwhere(shown).mean(axis=0) < (np.array(shown.shape) - 1) / 2
    top, bottom, left, right = view.letters
    near = {top if top_left[0] else bottom, left if top_left[1] else right}
    return near, {top, bottom, left, right} - near


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_letters_tell_the_lesions_side_however_a_scan_is_stored(order, direction):
    """The lesion is left, in front and above. SimpleITK stores the case in the 48 ways that leave voxels where they are."""
    for flips in itertools.product((False, True), repeat=3):
        case, mask = left_front_upper_case(direction, order, flips)
        near, far = sides_of_the_mask(case, mask)
        assert near < set("LAS"), flips
        assert far < set("RPI"), flips
        assert {ENDS[letter] for letter in near} == far


@pytest.mark.parametrize("flips", [(False, False, False), (True, True, False)])
def test_the_thumbnails_letters_are_those_of_the_slices(flips):
    """R at the left for axial slices of every storage, none where it is not known."""
    case, mask = left_front_upper_case(DIRECTIONS["oblique"], (0, 1, 2), flips)
    assert thumbnail(case, mask).startswith('<span class="sides" data-l="R" data-r="L"><img ')
    unknown = replace(case, adc=replace(case.adc, oriented=False))
    assert thumbnail(unknown, mask).startswith('<span class="sides" data-l="" data-r="">')


def test_unequal_pixels_keep_their_shape():
    case = small_case()
    mask = case.adc.voxels > 0
    page = montage(case, mask, [])
    assert 'viewBox="0 0 20 14"' in page  # mm: twice eight columns of 1 and the gap; seven rows of 2
    assert 'transform="scale(1 2)"' in page
    assert "The slices with lesions: 1 of 3." in page


def test_no_lesion_shows_the_middle_and_says_so(tmp_path):
    case, label = phantom_case()
    write_phantom_report(tmp_path / "report.html", np.zeros_like(label))
    page = words_of(tmp_path / "report.html")
    assert page.count("No lesion was found.") == 2  # in place of the table, and above the slices
    assert page.count("<figure ") == 3
    assert 'class="line"' not in page
    assert choose_slices(np.zeros_like(label), case.adc.voxels > 0, [])[0] == [12, 13, 14]  # the brain lies in 0 to 26


@pytest.mark.parametrize(
    ("lesions", "shown", "words"),
    [
        ([39, 3, 3], [2, *range(17, 40)], "one for every lesion, and those with the largest lesion area"),
        (range(2, 26), [*range(1, 25)], "one for every lesion, and those with the largest lesion area"),
        (range(2, 27), [*range(1, 25)], "of the largest lesions"),
    ],
)
def test_of_many_slices_those_of_the_lesions_and_the_largest_areas_are_shown(lesions, shown, words):
    mask = np.zeros((40, 8, 8), bool)
    for z in range(1, 40):
        mask[z].flat[: z + 1] = True
    indices, sentence = choose_slices(mask, mask, [lesion(1.0, slice=number) for number in lesions])
    assert indices == shown
    assert sentence == f"24 of the 39 slices with lesions: {words}."
