"use strict";

// The report's viewer. Without WebGL2 or on any failure the page stays as it is, and a sentence says so.
const byId = (id) => document.getElementById(id);
const dataOf = (id) => byId(`${id}-data`).textContent;
const settings = JSON.parse(byId("settings").textContent);
const layers = ["z", "probability"]; // as NiiVue's volumes 1 and 2, over the ADC, which is 0; the mask is its drawing
const directions = [["left", "right"], ["posterior", "anterior"], ["superior", "inferior"]]; // for mm above and below 0
const minus = "\u2212";

async function unpack(id) {
  const bytes = Uint8Array.from(atob(dataOf(id)), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function loadNiivue() {
  const script = document.createElement("script");
  script.textContent = await unpack("niivue"); // runs because the page's policy names its hash
  document.head.append(script);
  return window.niivue;
}

// White letters with a black rim, legible over white; off the edges, away from the next plane's letters.
function rimLetters(viewer) {
  const draw = viewer.drawSliceOrientationText.bind(viewer);
  const rim = 1.5 * window.devicePixelRatio, inset = 8 * window.devicePixelRatio;
  viewer.drawSliceOrientationText = ([left, top, width, height], ...more) => {
    const at = (x, y) => draw([left + inset + x, top + inset + y, width - 2 * inset, height - 2 * inset], ...more);
    viewer.opts.fontColor = [0, 0, 0, 1];
    for (const x of [-rim, 0, rim]) for (const y of [-rim, 0, rim]) at(x, y);
    viewer.opts.fontColor = [1, 1, 1, 1];
    at(0, 0);
  };
}

async function makeViewer({ Niivue, NVImage }) {
  const viewer = new Niivue({
    logLevel: "error",
    crosshairColor: [0.2, 0.9, 1, 0.9],
    crosshairWidth: 0.4,
    crosshairGap: 4, // leaves a small lesion free
    fontMinPx: 16,
    isNearestInterpolation: true,
    isRadiologicalConvention: true, // as the slices below
    isOrientationTextVisible: settings.oriented,
    showAllOrientationMarkers: true,
    multiplanarShowRender: 0,
    scrollRequiresFocus: true,
    dragAndDropEnabled: false,
    loadingText: "",
  });
  const canvas = byId("viewer-canvas");
  await viewer.attachToCanvas(canvas);
  // NiiVue takes the focus at each press of the button: the page is not to jump under a stroke of the pen then
  canvas.focus = () => HTMLElement.prototype.focus.call(canvas, { preventScroll: true });
  rimLetters(viewer);
  const load = (id, options) => NVImage.loadFromBase64({ base64: dataOf(id), name: `${id}.nii.gz`, ...options });
  const [low, high] = settings.adcWindow;
  viewer.addVolume(await load("adc", { colormap: "gray", cal_min: low, cal_max: high }));
  Object.assign(viewer.volumes[0], { robust_min: low, robust_max: high }); // what a double click resets the greys to
  viewer.onIntensityChange = ({ cal_min, cal_max }) => {
    const [first, last] = byId("adc-legend").querySelectorAll(".end");
    first.textContent = Math.round(cal_min);
    last.textContent = Math.round(cal_max);
  };
  for (const layer of layers) {
    viewer.addColormap(layer, settings.colours[layer]);
    viewer.addVolume(await load(layer, { colormap: layer, cal_min: 0, cal_max: 255, opacity: 0 }));
  }
  viewer.createEmptyDrawing();
  viewer.setDrawColormap(settings.colours.drawing);
  viewer.drawRimOpacity = 1; // an outline of one pixel around each label
  const draft = (await load("mask", {})).img2RAS();
  return { viewer, draft };
}

// --- what lies over the ADC ---

function connectOverlay(viewer) {
  const opacity = byId("opacity"), choices = [...document.querySelectorAll("input[name=overlay]")];
  let hidden = false;
  const draw = () => {
    const chosen = choices.find((choice) => choice.checked).value;
    layers.forEach((layer, n) => {
      viewer.volumes[n + 1].opacity = layer === chosen && !hidden ? Number(opacity.value) : 0;
    });
    viewer.drawOpacity = chosen === "mask" && !hidden ? Number(opacity.value) : 0;
    viewer.updateGLVolume();
    byId("overlay-hidden").hidden = !hidden;
    for (const legend of document.querySelectorAll("[data-overlay]")) {
      legend.hidden = legend.dataset.overlay !== chosen;
    }
  };
  for (const choice of choices) {
    choice.addEventListener("change", () => {
      hidden = false;
      draw();
    });
  }
  opacity.addEventListener("input", draw);
  draw();
  return () => {
    hidden = !hidden;
    draw();
  };
}

// --- the place of the cross in words ---

function placeWords(mm) {
  const whole = mm.map(Math.round);
  const words = whole.map((value, n) => value && `${Math.abs(value)} ${directions[n][value < 0 ? 1 : 0]}`).filter(Boolean);
  return words.length ? `${words.join(", ")} of the brain's centre, mm` : "at the brain's centre";
}

function describe(mm, values) {
  const place = settings.oriented ? [placeWords(mm)] : [];
  const [atCentre, perMm] = settings.slice;
  const parts = [`Slice ${Math.round(atCentre + perMm * mm[settings.stack])} of ${settings.slices}`, ...place];
  const [adc, z, probability] = values;
  if (z === 0) return [...parts, "outside the brain"];
  const shown = (name, value, digits) =>
    ((value - settings.maps[name].zero) / settings.maps[name].steps).toFixed(digits).replace("-", minus);
  return [...parts, `ADC ${adc} ×10⁻⁶ mm²/s`, `${settings.zName} ${shown("z", z, 1)}`, `probability ${shown("probability", probability, 2)}`];
}

// --- steps through the slices ---

// Returns what steers the cross: where it is, as a voxel of the volumes, a way to another, and the plane that is shown.
function connectSlices(viewer, sliceTypes, toggle) {
  const canvas = byId("viewer-canvas"), slider = byId("slice"), view = byId("view");
  const axis = () => ({ AXIAL: 2, CORONAL: 1, SAGITTAL: 0 })[view.value] ?? settings.stack;
  const current = () => viewer.frac2vox(viewer.scene.crosshairPos)[axis()];
  const along = (direction, by) => viewer.moveCrosshairInVox(...[0, 1, 2].map((n) => (n === direction ? by : 0)));
  const step = (by) => along(axis(), by);
  const reach = () => {
    slider.max = viewer.volumes[0].dimsRAS[axis() + 1] - 1;
    slider.value = current();
  };
  slider.addEventListener("input", () => step(Number(slider.value) - current()));
  view.addEventListener("change", () => {
    viewer.setSliceType(sliceTypes[view.value]);
    reach();
  });
  viewer.onLocationChange = ({ mm, values }) => {
    // NiiVue counts to the right and the front, this page to the left and the back
    const words = describe([-mm[0], -mm[1], mm[2]], values.map(({ value }) => value));
    byId("location").textContent = words.join(" · ");
    slider.value = current();
    slider.setAttribute("aria-valuetext", words[0]);
  };
  const steps = { ArrowUp: 1, ArrowRight: 1, PageUp: 1, ArrowDown: -1, ArrowLeft: -1, PageDown: -1 };
  const inPlane = () => {
    const [across, up, sign] = [[1, 2, 1], [0, 2, -1], [0, 1, -1]][axis()]; // the patient's left is at the right
    return { ArrowRight: [across, sign], ArrowLeft: [across, -sign], ArrowUp: [up, 1], ArrowDown: [up, -1] };
  };
  const frame = byId("viewer-frame");
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // NiiVue has keys of its own
    if (event.shiftKey && event.key in inPlane()) along(...inPlane()[event.key]);
    else if (event.key in steps) step(steps[event.key]);
    else if (event.key.toLowerCase() === "h") toggle();
    else return;
    event.preventDefault();
  }, { capture: true });
  frame.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) event.stopPropagation(); // and the page scrolls
  }, { capture: true });
  for (const kind of ["touchstart", "touchmove", "touchend", "touchcancel"]) {
    // a swipe scrolls the page; a tap comes as a click of the mouse after it
    frame.addEventListener(kind, (event) => event.stopPropagation(), { capture: true, passive: true });
  }
  reach();
  return {
    cross: () => [...viewer.frac2vox(viewer.scene.crosshairPos)],
    goTo: (voxel) => {
      viewer.scene.crosshairPos = viewer.vox2frac(voxel);
      viewer.drawScene();
      viewer.createOnLocationChange();
    },
    plane: () => 2 - axis(), // as NiiVue counts them: axial, coronal, sagittal
  };
}

function connectLesions(viewer, page) {
  document.querySelectorAll("table.lesions th button").forEach((button, n) => {
    button.addEventListener("click", (event) => {
      page.choose({ lesion: n + 1 });
      byId("viewer").scrollIntoView({ block: "nearest" });
      if (event.detail > 0) byId("viewer-canvas").focus(); // by the mouse: the wheel goes on there
    });
  });
  page.overview();
  viewer.createOnLocationChange();
}

async function start() {
  const notice = byId("viewer-notice");
  if (!document.createElement("canvas").getContext("webgl2")) {
    notice.hidden = false;
    return;
  }
  try {
    const niivue = await loadNiivue();
    byId("viewer-stage").hidden = false; // before the viewer measures its canvas
    const { viewer, draft } = await makeViewer(niivue);
    const steering = connectSlices(viewer, niivue.SLICE_TYPE, connectOverlay(viewer));
    const about = JSON.parse(byId("review-about").textContent), dims = viewer.volumes[0].dimsRAS.slice(1, 4);
    const review = new Review(dims, viewer.volumes[2].img2RAS(), draft, settings.maps.probability, about);
    const page = new ReviewPage(viewer, review, steering);
    connectLesions(viewer, page);
    if (byId("review-begun")) page.begin(byId("review-begun").textContent);
    document.body.classList.add("with-viewer");
  } catch (error) {
    byId("viewer-stage").hidden = true;
    document.querySelectorAll(".decision-head, .decision").forEach((cell) => cell.remove());
    notice.textContent = `The viewer could not start: ${error.message}`;
    notice.hidden = false;
  }
}

start();
