"""The report's and the index's text, the pictures of the slices and the viewer's volumes, without a browser."""

import base64
import hashlib
import html
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_helpers import phantom_case, results_of, write_phantom_report

from model.errors import UserError
from model.images.case import Case
from model.images.grid import crop_grid
from model.images.nifti import encode_nifti
from model.images.volume import GRID_TOLERANCE, Grid, Volume, read_volume
from model.report.case_page import viewer_volumes, write_report
from model.report.folder_page import link, volume_plot, write_index
from model.report.montage import axis_ends, choose_slices, colour_png, make_view, montage, outline
from model.report.page import ASSETS, asset, short

HOSTILE = "</title></script><script>alert(1)</script><img src=x onerror='alert(2)'>\" {0} $x & \udcff"
STRAIGHT = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)
DONE = {"status": "done", "reason": "", "report": None}


class Tags(HTMLParser):
    """Every element with its attributes, and the cells of the tables row by row."""

    def __init__(self, page: Path):
        super().__init__()
        self.elements, self.rows, self.cell = [], [], None
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = ""

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None


def small_case(direction: tuple[float, ...] = STRAIGHT) -> Case:
    """A brain of 1 x 3 x 4 voxels in the middle of 3 x 7 x 8."""
    adc = np.zeros((3, 7, 8), np.float32)
    adc[1, 2:5, 2:6] = 1200
    grid = Grid(adc.shape, (4.0, 2.0, 1.0), (0.0, 0.0, 0.0), direction)
    return Case(Volume(adc, grid, Path("adc.mha")), Volume(adc / 1000, grid, Path("zadc.mha")))


def volumes_table(page: Path) -> list[list[str]]:
    return [row for row in Tags(page).rows if len(row) == 8][1:]


def test_the_lesion_table_is_what_the_results_say(tmp_path):
    results = write_phantom_report(tmp_path / "report.html")
    rows = volumes_table(tmp_path / "report.html")
    assert len(rows) == results["lesions"] == 6
    for number, (row, lesion) in enumerate(zip(rows, results["lesion_list"], strict=True), 1):
        assert row[:2] == [str(number), lesion["side"]]
        numbers = [lesion[key] for key in ("volume_ml", "lowest_z", "probability", "confidence")]
        assert [float(row[column]) for column in (2, 4, 6, 7)] == [float(short(value)) for value in numbers]
        assert float(row[3]) == pytest.approx(100 * lesion["volume_ml"] / results["brain_volume_ml"], rel=0.05)
        assert [int(mm) for mm in row[5].split(",")] == pytest.approx(lesion["centre_mm"], abs=0.5)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (11.2345, "11.2"),
        (412.34, "412"),
        (0.9512, "0.95"),
        (0.00637, "0.0064"),
        (0.0001, "0.0001"),
        (-4.312, "-4.3"),
        (0.0, "0"),
        (12, "12"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_numbers_are_rounded_as_a_reader_wants_them(value, shown):
    assert short(value) == shown


def test_summary_checks_and_provenance(tmp_path):
    results = write_phantom_report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f'id="lesion_volume_ml">{results["lesion_volume_ml"]:.1f} ml<' in page
    assert f'id="lesion_share_of_brain">{100 * results["lesion_share_of_brain"]:.1f} %<' in page
    assert "<li>the Z map&#x27;s smallest value is -10.0</li>" in page
    assert "76 &times; 88 &times; 30 voxels (x, y, z) of 1.5 &times; 1.6 &times; 3 mm" in page
    rows = [row for row in Tags(tmp_path / "report.html").rows if len(row) == 2]
    assert rows == [
        ["Weights", "0123456789abcdef"],
        ["Device", "cpu"],
        ["Seconds", "4.56"],
        ["numpy", "2.4.6"],
        ["torch", "2.13.0"],
    ]


def test_results_without_checks_and_versions_will_do(tmp_path):
    case, label = phantom_case()
    results = results_of(case, label)
    del results["warnings"], results["software"]
    write_report(tmp_path / "report.html", "old", case, label, results)
    assert "No remarks." in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_hostile_text_stays_text(tmp_path):
    case, label = phantom_case()
    results = results_of(case, label) | {"warnings": [HOSTILE], "software": {HOSTILE: HOSTILE}, "weights": HOSTILE}
    results["lesion_list"][0]["lowest_z"] = HOSTILE
    write_report(tmp_path / "report.html", HOSTILE, case, label, results)
    write_phantom_report(tmp_path / "plain.html")
    entries = [
        DONE | {"case": HOSTILE, "results": results, "report": f"{HOSTILE}/report.html"},
        {"case": HOSTILE, "status": "failed", "reason": HOSTILE, "results": None, "report": None},
    ]
    write_index(tmp_path / "index.html", entries)
    write_index(tmp_path / "plain-index.html", [entry | {"case": "a", "reason": "b"} for entry in entries])
    for hostile, plain in (("report.html", "plain.html"), ("index.html", "plain-index.html")):
        elements = Tags(tmp_path / hostile).elements
        assert sum(tag == "script" for tag, _ in elements) == sum(
            tag == "script" for tag, _ in Tags(tmp_path / plain).elements
        )
        assert not [tag for tag, attributes in elements if tag == "img" or "onerror" in attributes]
        assert html.escape(HOSTILE.replace("\udcff", "?")) in (tmp_path / hostile).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["report.js", "index.js", "page.css"])
def test_what_is_put_in_cannot_end_its_element(name):
    assert "</" not in asset(name)
    assert "\r" not in asset(name)


def test_the_policy_allows_the_pages_own_scripts_alone(tmp_path):
    write_phantom_report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    policy = next(a["content"] for tag, a in Tags(tmp_path / "report.html").elements if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"unsafe|https?:|\*|connect-src", policy)
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    scripts = re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", page, re.DOTALL)
    expected = [*scripts, asset("niivue.umd.js")]
    assert sorted(allowed) == sorted(base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in expected)


def test_the_bundle_is_the_one_that_its_readme_names():
    digest = hashlib.sha256((ASSETS / "niivue.umd.js").read_bytes()).hexdigest()
    assert digest in (ASSETS / "README.md").read_text(encoding="utf-8")


def test_the_report_repeats_the_viewers_licence(tmp_path):
    write_phantom_report(tmp_path / "report.html")
    assert "Copyright (c) 2021, Niivue" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match=r"report\.html: cannot be written"):
        write_phantom_report(tmp_path / "nowhere" / "report.html")
    with pytest.raises(UserError, match=r"index\.html: cannot be written"):
        write_index(tmp_path / "nowhere" / "index.html", [])


def test_a_mask_of_another_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the grid is"):
        write_report(tmp_path / "report.html", "a", small_case(), np.zeros((3, 7, 7), bool), {})


@pytest.mark.parametrize("dtype", [np.int16, np.uint8])
def test_what_is_encoded_reads_back_on_its_oblique_grid(tmp_path, dtype):
    grid = phantom_case()[0].grid
    voxels = np.random.default_rng(0).integers(0, 255, grid.size).astype(dtype)
    voxels[0, 1, 2] = np.iinfo(dtype).max
    (tmp_path / "a.nii.gz").write_bytes(encode_nifti(voxels, grid))
    read = read_volume(tmp_path / "a.nii.gz")
    assert np.array_equal(read.voxels, voxels)
    assert read.grid.size == grid.size
    for name in ("spacing_mm", "origin_mm", "direction"):
        assert np.allclose(getattr(read.grid, name), getattr(grid, name), rtol=0, atol=1e-5)


def test_the_viewers_volumes_lie_where_the_case_lies(tmp_path):
    case, label = phantom_case()
    for name, content in zip("am", viewer_volumes(case, label), strict=True):
        (tmp_path / f"{name}.nii.gz").write_bytes(content)
    adc, mask = (read_volume(tmp_path / f"{name}.nii.gz") for name in "am")
    place = np.argwhere(label)[-1]
    shift = np.linalg.solve(np.reshape(case.grid.direction, (3, 3)), np.subtract(adc.grid.origin_mm, case.grid.origin_mm))
    there = place - np.rint(shift[::-1] / case.grid.spacing_mm).astype(int)
    assert shift.max() > 5
    assert np.allclose(adc.grid.to_mm(there), case.grid.to_mm(place), atol=GRID_TOLERANCE)
    assert adc.voxels[tuple(there)] == case.adc.voxels[tuple(place)]
    assert mask.voxels[tuple(there)] == 1
    assert mask.voxels.sum() == label.sum()


def test_values_beyond_int16_stay_at_its_end(tmp_path):
    case = small_case()
    case.adc.voxels[1, 2, 2] = 9e4
    (tmp_path / "a.nii.gz").write_bytes(viewer_volumes(case, np.zeros(case.grid.size, bool))[0])
    assert read_volume(tmp_path / "a.nii.gz").voxels.max() == 32767


def test_other_arrays_are_not_encoded():
    grid = small_case().grid
    for voxels in (np.zeros(grid.size, np.float64), np.zeros((3, 7, 7), np.uint8)):
        with pytest.raises(ValueError, match="expected uint8, int16, float32 of"):
            encode_nifti(voxels, grid)


def test_cropping_moves_the_origin():
    grid = Grid((3, 7, 8), (4.0, 2.0, 1.0), (10.0, 20.0, 30.0), (0, -1, 0, 1, 0, 0, 0, 0, 1))  # a quarter turn in plane
    cropped = crop_grid(grid, (slice(1, 3), slice(2, 5), slice(3, 8)))
    assert cropped == Grid((2, 3, 5), (4.0, 2.0, 1.0), (10.0 - 4, 20.0 + 3, 30.0 + 4), grid.direction)


def test_the_outline_goes_along_the_pixels_edges():
    mask = np.zeros((3, 4), bool)
    mask[1, 1:3] = mask[2, 2] = True
    lines = set(re.findall(r"M\d+ \d+[hv]\d+", outline(mask)))
    assert lines == {"M1 1h2", "M1 2h1", "M2 3h1", "M1 1v1", "M2 2v1", "M3 1v2"}
    assert outline(np.zeros((3, 4), bool)) == ""


def test_the_outline_of_everything_is_the_border():
    assert set(re.findall(r"M\d+ \d+[hv]\d+", outline(np.ones((2, 3), bool)))) == {"M0 0h3", "M0 2h3", "M0 0v2", "M3 0v2"}


def test_shades_of_a_slice():
    plane, brain = np.array([[0.0, 100, 150, 200, 999]]), np.array([[False, True, True, True, True]])
    image = Image.open(io.BytesIO(colour_png(plane, brain, (100, 200), ("000000", "ffffff")))).convert("RGB")
    assert np.asarray(image)[0].tolist() == [[0] * 3, [0] * 3, [128] * 3, [255] * 3, [255] * 3]


@pytest.mark.parametrize(
    ("cosines", "ends"), [((1, 0, 0), ("R", "L")), ((0.6, -0.8, 0), ("P", "A")), ((0.1, 0.2, -0.9), ("S", "I"))]
)
def test_letters_of_an_axis(cosines, ends):
    assert axis_ends(np.array(cosines)) == ends


def test_slices_are_turned_to_the_usual_way():
    straight, turned = make_view(small_case()), make_view(small_case((-1.0, 0, 0, 0, -1, 0, 0, 0, 1)))
    assert straight.letters == turned.letters == ("A", "P", "R", "L")
    plane = np.arange(56).reshape(7, 8)
    assert straight.cut(plane).shape == (7, 8)  # two voxels of margin around 3 x 4
    assert np.array_equal(turned.cut(plane), plane[::-1, ::-1])


def test_unequal_pixels_keep_their_shape():
    case = small_case()
    mask = case.adc.voxels > 0
    page = montage(case, mask)
    assert 'viewBox="0 0 20 14"' in page  # mm: twice eight columns of 1 and the gap; seven rows of 2
    assert 'transform="scale(1 2)"' in page
    assert "The slices with lesions: 1 of 3." in page
    assert "slice 2 of 3, mask 0.24 cm²" in page  # 12 pixels of 2 mm2


def test_no_lesion_shows_the_middle_and_says_so(tmp_path):
    case, label = phantom_case()
    write_phantom_report(tmp_path / "report.html", np.zeros_like(label))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("No lesion was found.") == 2  # in place of the table, and above the slices
    assert page.count("<figure>") == 3
    assert 'class="line"' not in page
    assert choose_slices(np.zeros_like(label), case.adc.voxels > 0)[0] == [12, 13, 14]  # the brain lies in 0 to 26


def test_of_many_slices_the_largest_areas_are_shown():
    mask = np.zeros((40, 8, 8), bool)
    for z in range(1, 40):
        mask[z].flat[: z + 1] = True
    indices, sentence = choose_slices(mask, mask)
    assert indices == list(range(16, 40))
    assert sentence == "The 24 slices with the largest lesion area, of 39 with lesions."


def entry(case: str, volume_ml: float) -> dict:
    results = {"lesion_volume_ml": volume_ml, "lesion_share_of_brain": 0.0123456, "lesions": 2, "seconds": 1.5}
    return DONE | {"case": case, "results": results | {"warnings": ["odd", "thick"]}, "report": f"{case}/report.html"}


def test_the_index_lists_every_case(tmp_path):
    failed = {"case": "c", "status": "failed", "reason": "c: no brain", "results": None, "report": None}
    write_index(tmp_path / "index.html", [entry("a b", 12.5), failed, entry("d", 0.0)])
    assert Tags(tmp_path / "index.html").rows[1:] == [
        ["a b", "12.5", "1.2", "2", "", "1.5", "odd; thick"],
        ["c", "", "", "", "", "", "failed: c: no brain"],
        ["d", "0", "1.2", "2", "", "1.5", "odd; thick"],
    ]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "3 cases: 2 done, 1 failed. Lesion volume 12.5 ml in all, 1 without a lesion." in page
    assert page.count('href="./a%20b/report.html"') == 2  # in the table and in the plot


def test_an_index_without_a_case_that_was_done(tmp_path):
    write_index(tmp_path / "index.html", [])
    assert "0 cases: 0 done, 0 failed." in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_the_plots_heights_are_logarithmic():
    heights = dict(re.findall(r'cy="([\d.]+)" r="4"(?: class="empty")?><title>(\w): ', volume_plot([entry("a", 0.0)])))
    assert heights == {"226.0": "a"}
    plot = volume_plot([entry("a", 1.0), entry("b", 0.0), entry("c", 100.0), entry("d", 10.0)])
    found = re.findall(r'cy="([\d.]+)" r="4"(?: class="empty")?><title>(\w): ', plot)
    y = {case: float(height) for height, case in found}
    assert list(y) == ["c", "d", "a", "b"]
    assert y["a"] - y["d"] == pytest.approx(y["d"] - y["c"], abs=0.2)
    assert y["b"] == 226.0  # the floor: 260 less the margin of 34
    assert plot.count('class="empty"') == 1


@pytest.mark.parametrize("path", ["javascript:alert(1)", "//host/a", "https://host/a"])
def test_a_link_leads_nowhere_else(path):
    assert link(path).startswith("./")
    assert ":" not in link(path)
