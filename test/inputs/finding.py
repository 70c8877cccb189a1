"""Folders of empty files, written as text, and what is expected to be found in them.

    two cases: a title
    + c1/adc.mha c1/zmap.mha c2/ loose.mha>gone           files, a folder and a link to gone
    / sub-01/dwi ADC dwi                                  sub-01/dwi/sub-01_ADC.nii.gz, sub-01/dwi/sub-01_dwi.nii.gz
    | case,adc,zadc                                       a line of cases.csv
    c1: = c1/adc.mha c1/zmap.mha -                        ADC map, Z map, brain mask of the case c1 without options
    c2 loose.mha: ^{root}/*: words*words$                 words of the problem of two cases
    c1 -z -m: = c1/adc.mha c1/zmap.mha -                  the same where Z maps are estimated and brain masks applied
    c1.no_mask:                                           another attribute, here an empty one
    c1 c2: = {name}/adc.mha - -                           both

Every case must be named for each set of options. `*` stands for any words; problems may have more before and behind, but for
`^` and `$`.
"""

import fnmatch
import re
from pathlib import Path

from model.inputs.cases import find_cases

ATTRIBUTES = ("place", "no_mask", "other_masks", "remarks", "no_z")
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 78642\n"
NOT_FETCHED = "a pointer of Git LFS: the data were not fetched (git lfs pull)"


def blocks(text: str) -> dict[str, str]:
    """The blocks of a text, which empty lines part, by their titles."""
    return {title: block for title, _, block in (part.partition("\n") for part in text.strip().split("\n\n"))}


def tree(root: Path, names: str) -> Path:
    """Empty files, folders/ and links>target, which blanks separate; finding opens no image."""
    for name in names.split():
        path, is_link, target = name.partition(">")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if is_link:
            (root / path).symlink_to(target)
        elif name.endswith("/"):
            (root / path).mkdir(exist_ok=True)
        else:
            (root / path).touch()
    return root


def session(root: Path, folder: str, *ends: str) -> Path:
    """Empty files `<folder's entities>_<end>.nii.gz` in a folder such as sub-01/ses-1/dwi."""
    name = "_".join(folder.split("/")[:-1])
    return tree(root, " ".join(f"{folder}/{name}_{end}.nii.gz" for end in ends))


def table(root: Path, rows: str, columns: str = "case,adc,zadc", name: str = "cases.csv") -> None:
    (root / name).write_text(f"{columns}\n{rows}\n")


def files(root: Path, *, estimate_z: bool = True, use_mask: bool = True, csv: str = "") -> dict[str, tuple | str]:
    """By case its ADC map, Z map and brain mask, as paths from the root, or its problem."""
    found = [
        case.for_options(estimate_z=estimate_z, use_mask=use_mask) for case in find_cases(root, root / csv if csv else None)
    ]
    shown = [
        tuple(path and str(path.relative_to(root)) for path in (case.adc, case.zadc, case.brain_mask)) for case in found
    ]
    return {case.name: case.problem or paths for case, paths in zip(found, shown, strict=True)}


def only(root: Path, csv: str = "") -> dict[str, tuple | str]:
    """The same without any option: of the two maps alone."""
    found = files(root, estimate_z=False, use_mask=False, csv=csv)
    return {name: paths if isinstance(paths, str) else paths[:2] for name, paths in found.items()}


def check(root: Path, block: str) -> None:
    """Write the files of a block and find what it expects."""
    expected: dict[str, dict[str, str]] = {}
    for line in block.splitlines():
        match line[:2]:
            case "+ ":
                tree(root, line[2:])
            case "/ ":
                session(root, *line.split()[1:])
            case "| ":
                (root / "cases.csv").open("a").write(line[2:] + "\n")
            case _:
                cases, _, says = line.partition(":")
                options = " ".join(re.findall(r" -[zm]\b", cases))
                for name in re.sub(r" -[zm]\b", "", cases).split():
                    expected.setdefault(options, {})[name] = says.strip()
    for options, of_cases in expected.items():
        found = {
            name: f"= {' '.join(path or '-' for path in paths)}" if isinstance(paths, tuple) else paths
            for name, paths in files(root, estimate_z="-z" in options, use_mask="-m" in options).items()
        }
        attributes = {}
        for case in find_cases(root):
            for name in (f"{case.name}.{attribute}" for attribute in ATTRIBUTES):
                if name in of_cases:
                    value = getattr(case, name.removeprefix(f"{case.name}."))
                    attributes[name] = value if isinstance(value, str) else " ".join(value)
        assert of_cases.keys() - attributes.keys() == found.keys()
        for name, says in of_cases.items():
            require(root, (found | attributes)[name], says.replace("{name}", name))


def require(root: Path, found: str, says: str) -> None:
    """A result or a problem has the words that are expected."""
    pattern = says.removeprefix("^").removesuffix("$").replace("{root}", str(root)).replace("[", "[[]")
    whole = says.startswith("= ") or not says
    before, behind = ("" if whole or says[0] == "^" else "*"), ("" if whole or says[-1] == "$" else "*")
    assert fnmatch.fnmatchcase(found, before + pattern + behind), (found, says)
