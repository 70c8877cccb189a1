"use strict";

// The page as a place to work: what the reader does with mouse and keys becomes states of a Review, which the viewer draws.
const LABELS = { mask: 1, chosen: 2, rejected: 3, rejectedChosen: 4 }; // in the viewer's drawing

class ReviewPage {
  constructor(viewer, review, steering) {
    Object.assign(this, { viewer, review, steering, chosen: null, tool: "look", saved: [review.state, "", ""], sliding: "" });
    this.dims = review.volume.dims;
    this.ml = review.about.voxel_ml;
    this.facts = Object.fromEntries(["lesion_volume_ml", "lesion_share_of_brain", "lesions_number", "largest"].map((id) => [id, byId(id).textContent]));
    this.#addToTable();
    this.#connect();
    this.show();
  }

  // --- what the page shows of a state ---

  show() {
    const { review } = this, { state } = review, mask = review.mask();
    this.mask = mask;
    this.painted = this.#labels(mask);
    this.viewer.drawBitmap.set(this.painted);
    this.viewer.refreshDrawing(true);
    const parts = components(this.dims, mask), voxels = parts.map((part) => part.length);
    const ml = voxels.reduce((sum, n) => sum + n, 0) * this.ml;
    const changed = state !== review.start;
    const facts = {
      lesion_volume_ml: `${volumeWords(ml)} ml`,
      lesion_share_of_brain: `${percentWords(ml / review.about.brain_ml)} %`,
      lesions_number: String(parts.length),
      largest: parts.length ? `${volumeWords(Math.max(...voxels) * this.ml)} ml` : "none",
    };
    for (const [id, words] of Object.entries(facts)) byId(id).textContent = changed ? words : this.facts[id];
    byId("reviewed-facts").classList.toggle("shown", changed);
    const undecided = this.undecided();
    byId("review-total").textContent = `${facts.lesion_volume_ml}, ${facts.lesion_share_of_brain} of the brain, ${parts.length} ${parts.length === 1 ? "lesion" : "lesions"}`;
    byId("review-next").textContent = this.#nextWords(undecided.length, parts.length);
    byId("undo").disabled = review.now === 0;
    byId("redo").disabled = review.now === review.states.length - 1;
    byId("keep-rest").disabled = !undecided.length;
    byId("keep-rest").textContent = undecided.length ? `Keep the ${undecided.length} undecided` : "None is undecided";
    byId("case-size").value = state.size;
    byId("case-size").setAttribute("aria-valuetext", sizeWords(state.size));
    byId("case-size-words").textContent = sizeWords(state.size);
    this.#showChosen();
    this.#showRows(state);
  }

  #labels(mask) {
    const { review, chosen } = this, labels = mask.slice();
    const paint = (voxels, inside, outside) => {
      for (const voxel of voxels) labels[voxel] = mask[voxel] ? inside : outside;
    };
    review.state.decisions.forEach((decision, n) => {
      if (decision === "reject") paint(review.lesion(n + 1), LABELS.mask, chosen?.lesion === n + 1 ? LABELS.rejectedChosen : LABELS.rejected);
      else if (chosen?.lesion === n + 1) paint(review.lesion(n + 1), LABELS.chosen, 0);
    });
    const region = chosen && this.#addedRegion();
    if (region) paint(review.added(region), LABELS.chosen, 0);
    return labels;
  }

  #showChosen() {
    const { review, chosen } = this, { state } = review, region = this.#addedRegion();
    const lesion = chosen?.lesion, decision = lesion ? state.decisions[lesion - 1] : null;
    byId("chosen-name").textContent = lesion ? this.#lesionWords(lesion) : region ? "Added by a click" : "No lesion is chosen";
    for (const id of ["keep", "reject"]) {
      byId(id).disabled = !(lesion || (region && id === "reject"));
      byId(id).setAttribute("aria-pressed", String(decision === id));
    }
    byId("reject-word").textContent = region ? "Remove" : "Reject";
    const slider = byId("chosen-size"), size = lesion ? review.sizeOf(lesion) : region ? region.size : 0;
    slider.disabled = !region && (!lesion || decision === "reject");
    slider.value = size;
    const voxels = lesion ? review.lesion(lesion) : region ? review.added(region) : [];
    const words = slider.disabled ? "" : `${sizeWords(size)} · ${volumeWords(voxels.length * this.ml)} ml`;
    byId("chosen-size-words").textContent = words;
    slider.setAttribute("aria-valuetext", words || "no lesion");
  }

  #lesionWords(number) {
    const { side, ml, chance } = this.review.about.lesions[number - 1];
    const parts = [`Lesion ${number}`, side, `${volumeWords(ml)} ml`, chance === null ? null : `real ${Math.round(100 * chance)}\u00a0%`];
    return parts.filter(Boolean).join(" · ");
  }

  #showRows({ decisions }) {
    this.rows.forEach(({ row, buttons }, n) => {
      row.dataset.decision = decisions[n];
      row.toggleAttribute("data-chosen", this.chosen?.lesion === n + 1);
      for (const [decision, button] of Object.entries(buttons)) button.setAttribute("aria-pressed", String(decisions[n] === decision));
    });
  }

  #nextWords(undecided, parts) {
    const { review, chosen } = this, { decisions } = review.state;
    const number = chosen?.lesion;
    if (number && decisions[number - 1] === "undecided") {
      return `Is lesion ${number} real? K keeps it, X rejects it, both go on. ${undecided === 1 ? "It is the last" : `${undecided} are`} undecided.`;
    }
    if (undecided) return `${undecided} of ${decisions.length} lesions are still to be decided. Press N: the least sure comes first.`;
    if (!this.unsaved && review.now > 0) return `Saved. ${parts ? "" : "There is no lesion in this brain. "}You can close this page, or go on.`;
    if (!decisions.length && !parts) return "The draft has no lesion. Was one missed? Put the cross on it and press A. Then save the review.";
    return `All ${decisions.length} lesions are decided. Was one missed? Put the cross on it and press A. Then save the review.`;
  }

  // The table of the lesions gets a column with the decisions.
  #addToTable() {
    for (const table of document.querySelectorAll("table.lesions")) {
      const head = document.createElement("th");
      Object.assign(head, { scope: "col", className: "words decision-head", textContent: "Review" });
      table.tHead.rows[0].append(head);
    }
    this.rows = [...document.querySelectorAll("table.lesions tbody tr")].map((row, n) => {
      const cell = row.insertCell(), buttons = {};
      cell.className = "words decision";
      for (const [decision, word] of [["keep", "Keep"], ["reject", "Reject"]]) {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", textContent: word });
        button.setAttribute("aria-label", `${word} lesion ${n + 1}`);
        button.addEventListener("click", () => {
          this.choose({ lesion: n + 1 });
          this.decide(decision, false);
        });
        buttons[decision] = button;
        cell.append(button);
      }
      return { row, buttons };
    });
  }

  // --- which lesion is meant ---

  #addedRegion() {
    return this.review.state.added.find(({ voxel }) => voxel === this.chosen?.added);
  }

  // The undecided, least sure first: the lowest chance of being real, where it is known, else the smallest.
  undecided() {
    const { lesions } = this.review.about, { decisions } = this.review.state;
    const numbers = lesions.map((_, n) => n + 1).filter((number) => decisions[number - 1] === "undecided");
    const [a, b] = ["chance", "ml"].map((key) => (one, other) => lesions[one - 1][key] - lesions[other - 1][key]);
    return numbers.sort((one, other) => a(one, other) || b(one, other));
  }

  // Where the viewer begins: at the largest lesion.
  overview() {
    if (this.rows.length) this.#goTo(this.#voxelOf(1));
  }

  choose(chosen, move = true) {
    this.notice("");
    this.chosen = chosen;
    if (move && chosen?.lesion) this.#goTo(this.#voxelOf(chosen.lesion));
    if (move && chosen?.added !== undefined) this.#goTo(chosen.added);
    this.show();
  }

  #voxelOf(lesion) {
    const { about, volume } = this.review, { inside } = about.lesions[lesion - 1];
    return volume.voxelsOf[lesion].find((voxel) => storedPlace(this.dims, about.place, voxel) === inside);
  }

  #goTo(voxel) {
    this.steering.goTo(placeOf(this.dims, voxel));
  }

  // Steps through the undecided; where all are decided, through all lesions and what was added.
  step(by) {
    const { decisions, added } = this.review.state, undecided = this.undecided().map((lesion) => ({ lesion }));
    const all = [...decisions.map((_, n) => ({ lesion: n + 1 })), ...added.map(({ voxel }) => ({ added: voxel }))];
    const stops = undecided.length ? undecided : all;
    const at = stops.findIndex(({ lesion, added }) => lesion === this.chosen?.lesion && added === this.chosen?.added);
    if (!stops.length) return;
    byId("viewer").scrollIntoView({ block: "nearest" });
    this.choose(stops[at < 0 ? (by > 0 ? 0 : stops.length - 1) : (at + by + stops.length) % stops.length]);
  }

  chooseAtCross() {
    const voxel = this.cross(), { state, volume } = this.review;
    const number = volume.numbers[voxel] || state.decisions.findIndex((_, n) => this.review.lesion(n + 1).includes(voxel)) + 1;
    const region = state.added.find((one) => this.review.added(one).includes(voxel));
    this.choose(number ? { lesion: number } : region ? { added: region.voxel } : null, false);
  }

  cross() {
    const [x, y, z] = this.steering.cross(), [nx, ny] = this.dims;
    return x + nx * (y + ny * z);
  }

  // --- what the reader does ---

  change(changes, gesture = "") {
    this.notice("");
    this.review.change(changes, gesture !== "" && gesture === this.sliding);
    this.sliding = gesture;
    this.show();
  }

  decide(decision, onwards = true) {
    const { state } = this.review, region = this.#addedRegion(), number = this.chosen?.lesion;
    if (region && decision === "reject") {
      this.chosen = null;
      return this.change({ added: state.added.filter((other) => other !== region) });
    }
    if (!number) return undefined;
    const order = this.undecided();
    const following = order[order.indexOf(number) + 1] ?? order.find((other) => other !== number);
    this.review.change({ decisions: state.decisions.with(number - 1, decision) });
    this.sliding = "";
    this.notice("");
    return onwards && following ? this.choose({ lesion: following }) : this.show();
  }

  keepRest() {
    this.change({ decisions: this.review.state.decisions.map((decision) => (decision === "undecided" ? "keep" : decision)) });
  }

  noLesion() {
    this.chosen = null;
    this.change({ decisions: this.review.state.decisions.map(() => "reject"), added: [], drawn: [], erased: [] });
  }

  resize(size) {
    const { state } = this.review, region = this.#addedRegion(), number = this.chosen?.lesion;
    const kept = Math.min(Math.max(size, SIZES.smallest), SIZES.largest);
    if (region) this.change({ added: state.added.map((one) => (one === region ? { ...one, size: kept } : one)) }, `added ${region.voxel}`);
    else if (number && state.decisions[number - 1] !== "reject") this.change({ sizes: state.sizes.with(number - 1, kept) }, `lesion ${number}`);
  }

  add() {
    const voxel = this.cross(), { review } = this, { numbers, probability } = review.volume;
    if (numbers[voxel]) {
      const rejected = review.state.decisions[numbers[voxel] - 1] === "reject";
      this.choose({ lesion: numbers[voxel] }, false);
      return this.notice(`This is lesion ${numbers[voxel]}${rejected ? ", which is rejected: K takes it back" : " of the draft"}.`);
    }
    if (this.mask[voxel]) return this.notice("This is in the mask already.");
    if (!probability[voxel]) return this.notice("This is outside the brain.");
    if (!review.added({ voxel, size: 0 })) return this.notice("No probability of lesion is known here. Draw it with the pen, or press D.");
    this.chosen = { added: voxel };
    return this.change({ added: [...review.state.added, { voxel, size: 0 }] });
  }

  // What the viewer's pen has drawn since the last state becomes the next one. It does not draw outside the brain.
  collect() {
    const { state, volume } = this.review, { drawBitmap } = this.viewer;
    const drawn = new Set(state.drawn), erased = new Set(state.erased);
    let any = false;
    drawBitmap.forEach((label, voxel) => {
      if (label === this.painted[voxel] || Boolean(label) === Boolean(this.mask[voxel])) return;
      if (label && !volume.probability[voxel]) return;
      any = true;
      (label ? drawn : erased).add(voxel);
      (label ? erased : drawn).delete(voxel);
    });
    if (any) this.change({ drawn: [...drawn], erased: [...erased] });
    else this.show();
  }

  dab(label) {
    this.viewer.drawPenAxCorSag = this.steering.plane();
    this.viewer.drawPt(...this.steering.cross(), label);
    this.viewer.drawPenAxCorSag = -1;
    this.collect();
  }

  // Between drawn slices of the plane that is shown: the viewer's own interpolation of what was drawn by hand.
  fillBetween() {
    const { viewer, review } = this, plane = this.steering.plane(), bitmap = viewer.drawBitmap.fill(0);
    for (const voxel of review.state.drawn) bitmap[voxel] = LABELS.mask;
    const ends = review.state.drawn.length ? viewer.findDrawingBoundarySlices(plane) : null;
    if (ends) viewer.interpolateMaskSlices(ends.first, ends.last, { sliceType: plane });
    const filled = viewer.drawBitmap;
    viewer.drawBitmap = this.painted.slice();
    filled.forEach((label, voxel) => {
      if (label && !this.mask[voxel]) viewer.drawBitmap[voxel] = LABELS.mask;
    });
    this.collect();
  }

  back(by) {
    this.review.go(by);
    if (this.chosen?.added !== undefined && !this.#addedRegion()) this.chosen = null;
    this.sliding = "";
    this.notice("");
    this.show();
  }

  use(tool) {
    this.tool = tool;
    document.querySelector(`input[name=tool][value=${tool}]`).checked = true;
    this.viewer.opts.penSize = Number(byId("brush").value);
    this.viewer.setPenValue(tool === "pen" ? LABELS.mask : 0, false);
    this.viewer.setDrawingEnabled(tool === "pen" || tool === "eraser");
  }

  // --- files in and out ---

  #inHand() {
    return [this.review.state, byId("initials").value, byId("remark").value];
  }

  get unsaved() {
    return this.#inHand().some((part, n) => part !== this.saved[n]);
  }

  get name() {
    return plain(this.review.about.case).replace(/[\\/:*?"<>|]/g, "_").slice(0, 150);
  }

  save() {
    const file = this.review.file(byId("initials").value, byId("remark").value, new Date());
    download(new Blob([`${JSON.stringify(file)}\n`], { type: "application/json" }), `${this.name}.review.json`);
    this.saved = this.#inHand();
    this.show();
    const left = this.undecided().length;
    this.notice(`${this.name}.review.json is in your downloads. It goes into the folder that --reviews names.${left ? ` The ${left} undecided stay in the mask.` : ""}`);
  }

  async saveMask() {
    const head = Uint8Array.from(atob(this.review.about.nifti_head), (letter) => letter.charCodeAt(0));
    const packed = new Blob([head, this.review.wholeMask()]).stream().pipeThrough(new CompressionStream("gzip"));
    download(await new Response(packed).blob(), `${this.name}-reviewed.nii.gz`);
    this.notice(`${this.name}-reviewed.nii.gz is in your downloads.${this.unsaved ? " The review itself is not saved yet." : ""}`);
  }

  async open(file) {
    if (!file) return;
    try {
      if (file.size > LARGEST_FILE) throw new Error(DAMAGED);
      this.#continueFrom(await file.text());
      this.notice("The review was opened. Undo goes back to what was here before.");
    } catch (error) {
      this.notice(error.message, true);
    }
  }

  // Begin with the review from which the page's numbers are.
  begin(text) {
    try {
      this.#continueFrom(text);
      this.review.start = this.review.state;
      this.choose(null);
      this.notice("This case was reviewed. Undo goes back to the draft.");
    } catch {
      this.notice("The review of this case cannot be shown here: this is the draft. The numbers above and the slices below are as reviewed.", true);
    }
  }

  #continueFrom(text) {
    const { initials, remark } = this.review.continueFrom(text);
    byId("initials").value = initials;
    byId("remark").value = remark;
    this.saved = this.#inHand();
    this.choose(null);
  }

  notice(words, wrong = false) {
    byId("review-notice").textContent = words;
    byId("review-notice").classList.toggle("failed", wrong);
  }

  // --- mouse, keys and files ---

  #connect() {
    const { viewer } = this, frame = byId("viewer-frame");
    const clicks = {
      keep: () => this.decide("keep"), reject: () => this.decide("reject"), previous: () => this.step(-1), next: () => this.step(1),
      undo: () => this.back(-1), redo: () => this.back(1), "keep-rest": () => this.keepRest(), "no-lesion": () => this.noLesion(),
      "fill-between": () => this.fillBetween(), save: () => this.save(), "save-mask": () => this.saveMask(), "open-review": () => byId("review-file").click(),
    };
    for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", act);
    byId("chosen-size").addEventListener("input", (event) => this.resize(Number(event.target.value)));
    byId("case-size").addEventListener("input", (event) => this.change({ size: Number(event.target.value) }, "case"));
    for (const id of ["chosen-size", "case-size"]) byId(id).addEventListener("change", () => (this.sliding = ""));
    for (const input of document.querySelectorAll("input[name=tool]")) input.addEventListener("change", () => this.use(input.value));
    byId("brush").addEventListener("change", () => this.use(this.tool));
    byId("review-file").addEventListener("change", async (event) => {
      await this.open(event.target.files[0]);
      event.target.value = "";
    });
    frame.addEventListener("click", () => {
      if (this.tool === "look") this.chooseAtCross();
      if (this.tool === "add") this.add();
    });
    viewer.onDrawingChanged = (action) => action === "draw" && this.collect();
    frame.addEventListener("pointerleave", () => this.viewer.opts.drawingEnabled && this.collect()); // the viewer ends a stroke there without a word
    document.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.open(event.dataTransfer.files[0]);
    });
    window.addEventListener("beforeunload", (event) => this.unsaved && event.preventDefault());
  }

  #key(event) {
    const key = event.key.toLowerCase(), writes = event.target.matches("input[type=text], textarea, select");
    const act = event.ctrlKey || event.metaKey
      ? { s: () => this.save(), ...(!writes && { z: () => this.back(event.shiftKey ? 1 : -1), y: () => this.back(1) }) }[key]
      : !writes && !event.altKey && {
        k: () => this.decide("keep"), x: () => this.decide("reject"), n: () => this.step(1), p: () => this.step(-1), a: () => this.add(),
        d: () => this.dab(LABELS.mask), e: () => this.dab(0), "+": () => this.#resizeBy(1), "-": () => this.#resizeBy(-1),
        escape: () => this.use("look"), "?": () => this.#help(),
      }[key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation(); // the viewer has keys of its own
    act();
  }

  #help() {
    byId("review-help").open = true;
    byId("review-help").scrollIntoView({ block: "nearest" });
  }

  #resizeBy(steps) {
    const region = this.#addedRegion(), number = this.chosen?.lesion;
    if (region || number) this.resize((region ? region.size : this.review.sizeOf(number)) + steps);
    this.sliding = "";
  }
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// Numbers as the rest of the page writes them.
function volumeWords(ml) {
  if (ml > 0 && ml < 0.005) return "<0.01";
  return ml >= 99.95 || ml === 0 ? ml.toFixed(0) : ml.toFixed(ml >= 0.095 ? 1 : 2);
}

function percentWords(share) {
  if (share > 0 && share < 0.0005) return "<0.1";
  return share ? (100 * share).toFixed(1) : "0";
}

function sizeWords(size) {
  return size ? `${Math.abs(size)} ${size > 0 ? "larger" : "smaller"}` : "as drafted";
}
