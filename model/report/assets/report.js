"use strict";

// The report's viewer. Without WebGL2 or on any failure the page stays as it is, with the sentence that says so.
const byId = (id) => document.getElementById(id);
const dataOf = (id) => byId(`${id}-data`).textContent;

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

async function makeViewer({ Niivue, NVImage }) {
  const viewer = new Niivue({
    logLevel: "error",
    crosshairColor: [0.2, 0.9, 1, 0.9],
    crosshairWidth: 0.4,
    crosshairGap: 4, // leaves a small lesion free
    isNearestInterpolation: true,
    isRadiologicalConvention: true, // as the slices below
    multiplanarShowRender: 0,
    scrollRequiresFocus: true,
    dragAndDropEnabled: false,
    loadingText: "",
  });
  await viewer.attachToCanvas(byId("viewer-canvas"));
  const [low, high] = JSON.parse(byId("settings").textContent).adcWindow;
  const load = (id, options) => NVImage.loadFromBase64({ base64: dataOf(id), name: `${id}.nii.gz`, ...options });
  viewer.addVolume(await load("adc", { colormap: "gray", cal_min: low, cal_max: high }));
  viewer.addVolume(await load("mask", { colormap: "red", cal_min: 0, cal_max: 1, opacity: Number(byId("opacity").value) }));
  return viewer;
}

function connectControls(viewer, sliceTypes) {
  const shown = byId("show-mask"), opacity = byId("opacity"), view = byId("view");
  const setOpacity = () => viewer.setOpacity(1, shown.checked ? Number(opacity.value) : 0);
  shown.addEventListener("change", setOpacity);
  opacity.addEventListener("input", setOpacity);
  view.addEventListener("change", () => viewer.setSliceType(sliceTypes[view.value]));
  viewer.onLocationChange = ({ mm, values }) => {
    // NiiVue counts to the right and the front, the table to the left and the back
    const place = [-mm[0], -mm[1], mm[2]].map((value) => value.toFixed(1)).join(", ");
    byId("location").textContent = `Position ${place} mm, ADC ${values[0].value} ×10⁻⁶ mm²/s`;
  };
}

function connectLesions(viewer) {
  const moveTo = ([left, back, top]) => {
    viewer.scene.crosshairPos = viewer.mm2frac([-left, -back, top], 0, true);
    viewer.drawScene();
    viewer.createOnLocationChange();
  };
  const buttons = document.querySelectorAll("button[data-mm]");
  for (const button of buttons) {
    button.addEventListener("click", () => {
      moveTo(JSON.parse(button.dataset.mm));
      byId("viewer").scrollIntoView({ block: "nearest" });
    });
  }
  if (buttons.length) moveTo(JSON.parse(buttons[0].dataset.mm));
}

async function start() {
  if (!document.createElement("canvas").getContext("webgl2")) return;
  const notice = byId("viewer-notice");
  try {
    const niivue = await loadNiivue();
    byId("viewer-stage").hidden = false; // before the viewer measures its canvas
    const viewer = await makeViewer(niivue);
    connectControls(viewer, niivue.SLICE_TYPE);
    connectLesions(viewer);
    notice.hidden = true;
    document.body.classList.add("with-viewer");
  } catch (error) {
    byId("viewer-stage").hidden = true;
    notice.textContent = `The viewer could not start: ${error.message}`;
  }
}

start();
