"use strict";

// A review: what the reader decided, the mask that comes of it, and the file that holds both.
//
// A state is never changed, only followed by another, so that undo and redo go through a list of them:
//   decisions: of each lesion "keep", "reject" or "undecided"; sizes: of each its own size, null where it has the case's;
//   size: the case's; added: [{voxel, size}]; drawn, erased: voxels by hand, which count more than all else.

const FORMAT = "hie-lesions review";
const DECISIONS = ["keep", "reject", "undecided"];
const LONGEST = { initials: 20, remark: 4000 };
const LARGEST_FILE = 32 * 1024 * 1024; // bytes

class Review {
  // probability, draft: bytes of the volumes around the brain; about: what the page says of scan, draft and grid
  constructor(dims, probability, draft, scale, about) {
    this.about = about;
    this.length = about.grid.size.reduce((product, n) => product * n, 1);
    this.draft = draft;
    const { numbers, voxelsOf } = this.#numbered(dims, draft);
    const border = draft.reduce((least, inside, voxel) => (inside ? Math.min(least, probability[voxel]) : least), 255);
    this.volume = { dims, probability, numbers, voxelsOf, border, scale };
    this.regions = new Map(); // they depend on nothing but place and size
    const count = voxelsOf.length - 1;
    this.states = [{
      decisions: Array(count).fill("undecided"), sizes: Array(count).fill(null), size: 0, added: [], drawn: [], erased: [],
    }];
    this.now = 0;
    this.start = this.state;
  }

  // The draft's lesions have the numbers of results.json, which gives a voxel of each.
  #numbered(dims, draft) {
    const inside = new Map(this.about.lesions.map((lesion, n) => [lesion.inside, n + 1]));
    const numbers = new Int32Array(draft.length), voxelsOf = [[]];
    for (const part of components(dims, draft)) {
      const number = part.map((voxel) => inside.get(storedPlace(dims, this.about.place, voxel))).find(Boolean);
      if (!number) throw new Error("the lesions are not those of the table");
      for (const voxel of part) numbers[voxel] = number;
      voxelsOf[number] = part;
    }
    return { numbers, voxelsOf };
  }

  get state() {
    return this.states[this.now];
  }

  // Go on from the present state with some of it changed; what was undone is given up. With `merge` the last state is
  // replaced, as by every step of a slider that is being moved.
  change(changes, merge = false) {
    const state = { ...this.state, ...changes };
    if (merge && this.now > 0) this.now -= 1;
    this.states.splice(this.now + 1, Infinity, state);
    this.now += 1;
  }

  // Undo and redo.
  go(by) {
    this.now = Math.min(Math.max(this.now + by, 0), this.states.length - 1);
  }

  sizeOf(number) {
    return this.state.sizes[number - 1] ?? this.state.size;
  }

  #region(key, make) {
    if (!this.regions.has(key)) this.regions.set(key, make());
    return this.regions.get(key);
  }

  lesion(number, size = this.sizeOf(number)) {
    return this.#region(`lesion ${number} ${size}`, () => resized(this.volume, number, size));
  }

  added({ voxel, size }) {
    return this.#region(`added ${voxel} ${size}`, () => addedRegion(this.volume, voxel, size));
  }

  // The mask, a byte a voxel of the volumes around the brain.
  mask(state = this.state) {
    const mask = new Uint8Array(this.draft.length);
    state.decisions.forEach((decision, n) => {
      if (decision === "reject") return;
      for (const voxel of this.lesion(n + 1, state.sizes[n] ?? state.size)) mask[voxel] = 1;
    });
    for (const region of state.added) for (const voxel of this.added(region)) mask[voxel] = 1;
    for (const voxel of state.drawn) mask[voxel] = 1;
    for (const voxel of state.erased) mask[voxel] = 0;
    return mask;
  }

  // --- the file ---

  wholeMask() {
    return toWhole(this.volume.dims, this.about.place, this.mask(), this.length);
  }

  file(initials, remark, time) {
    const { about, state } = this;
    return {
      format: FORMAT,
      format_version: 1,
      case: about.case,
      time: time.toISOString(),
      initials: plain(initials).slice(0, LONGEST.initials),
      remark: plain(remark, "\n\t").slice(0, LONGEST.remark),
      software: about.software,
      weights: about.weights,
      adc_sha256: about.adc_sha256,
      adc_voxels_sha256: about.adc_voxels_sha256,
      draft_sha256: about.draft_sha256,
      grid: about.grid,
      size: state.size,
      lesions: state.decisions.map((decision, n) => ({ decision, size: state.sizes[n] })),
      added: state.added.map(({ voxel, size }) => ({ voxel: this.#zyx(voxel), size })),
      mask: runsOf(this.wholeMask()),
    };
  }

  #zyx(voxel) {
    const [, ny, nx] = this.about.grid.size;
    return placeOf([nx, ny], storedPlace(this.volume.dims, this.about.place, voxel)).reverse();
  }

  // Go on where a file ended; returns its initials and remark. Throws an Error whose message is a sentence for the reader.
  continueFrom(text) {
    const file = parsed(text), { about, volume } = this;
    if (file.adc_voxels_sha256 !== about.adc_voxels_sha256) {
      throw new Error("This review is of another scan, so it was not opened.");
    }
    if (JSON.stringify(file.grid) !== JSON.stringify(about.grid)) {
      throw new Error("This review is of a copy of this scan whose voxels are stored in another way, so it was not opened.");
    }
    if (file.draft_sha256 !== about.draft_sha256 || file.lesions.length !== this.state.decisions.length) {
      throw new Error("This review is of another draft of this scan, made with other weights or another version, so it was not opened.");
    }
    const whole = maskOf(file.mask, this.length), mask = whole && toCrop(volume.dims, about.place, whole);
    const at = new Map(file.added.map(({ voxel: [z, y, x], size }) => [(z * about.grid.size[1] + y) * about.grid.size[2] + x, size]));
    const added = [];
    for (let voxel = 0; voxel < this.draft.length && added.length < at.size; voxel++) {
      const place = storedPlace(volume.dims, about.place, voxel);
      if (at.has(place)) added.push({ voxel, size: at.get(place) });
    }
    const fits = mask && added.length === file.added.length && added.every((region) => volume.numbers[region.voxel] === 0 && this.added(region));
    if (!fits || mask.some((inside, voxel) => inside && volume.probability[voxel] === 0)) throw new Error(DAMAGED);
    const decisions = file.lesions.map(({ decision }) => decision), sizes = file.lesions.map(({ size }) => size);
    const state = { decisions, sizes, size: file.size, added, drawn: [], erased: [] };
    const without = this.mask(state);
    mask.forEach((inside, voxel) => {
      if (inside !== without[voxel]) (inside ? state.drawn : state.erased).push(voxel); // what only the hand makes
    });
    this.change(state);
    return { initials: file.initials, remark: file.remark };
  }
}

const DAMAGED = "This file is no review as this page saves it, or it is damaged, so it was not opened.";

// A file's content, all of it of the right kind; whether it fits the page is asked later.
function parsed(text) {
  const size = (value) => Number.isInteger(value) && SIZES.smallest <= value && value <= SIZES.largest;
  const voxel = (value) => Array.isArray(value) && value.length === 3 && value.every((n) => Number.isInteger(n) && n >= 0);
  try {
    const file = JSON.parse(text);
    const right = file.format === FORMAT && file.format_version === 1 && size(file.size)
      && Object.keys(LONGEST).every((name) => typeof file[name] === "string" && file[name].length <= LONGEST[name])
      && file.lesions.every((lesion) => DECISIONS.includes(lesion.decision) && (lesion.size === null || size(lesion.size)))
      && file.added.every((region) => voxel(region.voxel) && size(region.size));
    if (right) return file;
  } catch {
    // said below
  }
  throw new Error(DAMAGED);
}

// Text without what no file should hold: control characters and halves of letters become blanks.
function plain(text, allowed = "") {
  return text.replace(/[\p{Cc}\p{Cs}]/gu, (letter) => (allowed.includes(letter) ? letter : " "));
}
