"use strict";

// The voxel logic of a review: plain functions of typed arrays, without page and without viewer.
//
// A volume of [nx, ny, nz] voxels is a flat array, x fastest. Probabilities are stored as bytes: 0 outside the brain, else
// `zero` + `steps` * probability.

const SIZES = { smallest: -10, largest: 10 }; // of the Size sliders; 0 is the draft
const LOGIT_STEP = 0.35; // by which one step of a size moves the probability at the border, in log odds
const FAINTEST_ADDED = 0.02; // a place whose surroundings have no such probability can only be drawn by hand

function placeOf([nx, ny], voxel) {
  return [voxel % nx, Math.floor(voxel / nx) % ny, Math.floor(voxel / (nx * ny))];
}

// A voxel and its neighbours in the volume, 26 at most.
function around([nx, ny, nz], voxel, act) {
  const [x, y, z] = placeOf([nx, ny], voxel);
  for (let k = Math.max(z - 1, 0); k <= Math.min(z + 1, nz - 1); k++) {
    for (let j = Math.max(y - 1, 0); j <= Math.min(y + 1, ny - 1); j++) {
      for (let i = Math.max(x - 1, 0); i <= Math.min(x + 1, nx - 1); i++) act(i + nx * (j + ny * k));
    }
  }
}

// All voxels that can be reached from `seeds` over the 26 neighbours through voxels that `allows` lets in; seeds first.
function flood(dims, seeds, allows) {
  const seen = new Uint8Array(dims[0] * dims[1] * dims[2]), found = [];
  for (const seed of seeds) {
    if (!seen[seed]) found.push(seed);
    seen[seed] = 1;
  }
  for (let next = 0; next < found.length; next++) {
    around(dims, found[next], (voxel) => {
      if (seen[voxel] || !allows(voxel)) return;
      seen[voxel] = 1;
      found.push(voxel);
    });
  }
  return found;
}

// The 26-connected components of a mask, each as its voxels.
function components(dims, mask) {
  const left = mask.slice(), found = [];
  for (let voxel = left.indexOf(1); voxel >= 0; voxel = left.indexOf(1, voxel)) {
    const part = flood(dims, [voxel], (other) => left[other]);
    for (const member of part) left[member] = 0;
    found.push(part);
  }
  return found;
}

// What a border of the stored probability `border` becomes with a size: below it when growing, above when shrinking. Every
// step changes it, and it stays above 0.
function borderOf(border, size, { steps, zero }) {
  const p = Math.min(Math.max((border - zero) / steps, 0.5 / steps), 1 - 0.5 / steps);
  const moved = 1 / (1 + Math.exp(LOGIT_STEP * size - Math.log(p / (1 - p))));
  const stored = Math.round(moved * steps) + zero;
  if (size > 0) return Math.max(Math.min(stored, border - size), zero + 1);
  return size < 0 ? Math.max(stored, border - size) : border;
}

// A lesion of the draft with a size. Grown by what is connected to it and as probable as the new border, but never into a
// lesion of the draft, its own aside; shrunk to what is as probable as that, at least to its most probable voxels.
function resized(volume, number, size) {
  const { dims, probability, numbers, border, scale, voxelsOf } = volume, own = voxelsOf[number];
  const level = borderOf(border, size, scale);
  if (size > 0) return flood(dims, own, (voxel) => numbers[voxel] === 0 && probability[voxel] >= level);
  if (size === 0) return own;
  const most = own.reduce((top, voxel) => Math.max(top, probability[voxel]), 0);
  return own.filter((voxel) => probability[voxel] >= Math.min(level, most));
}

// From a voxel the way up to the nearest peak of the probability outside the draft's lesions, both ends included.
function climb({ dims, probability, numbers }, voxel) {
  const path = [voxel];
  for (;;) {
    const here = path[path.length - 1];
    let best = here;
    around(dims, here, (other) => {
      if (numbers[other] === 0 && probability[other] > probability[best]) best = other;
    });
    if (best === here) return path;
    path.push(best);
  }
}

// The region around a voxel outside the draft that a click adds: what is connected to the peak near it and at least half as
// probable, moved by the size; never a voxel of the draft's lesions. Null where no probability speaks for one.
function addedRegion(volume, voxel, size) {
  const { dims, probability, numbers, scale } = volume, path = climb(volume, voxel);
  const peak = (probability[path[path.length - 1]] - scale.zero) / scale.steps;
  if (probability[voxel] === 0 || peak < FAINTEST_ADDED) return null;
  const level = borderOf(Math.max(Math.round((peak / 2) * scale.steps), 1) + scale.zero, size, scale);
  return flood(dims, path, (other) => numbers[other] === 0 && probability[other] >= level);
}

// --- the whole grid of the ADC map, as its file stores it: where a crop's voxels lie is `first` plus `steps` (x, y, z) ---

function storedPlace(dims, { first, steps }, voxel) {
  const [x, y, z] = placeOf(dims, voxel);
  return first + steps[0] * x + steps[1] * y + steps[2] * z;
}

function toWhole(dims, place, crop, length) {
  const whole = new Uint8Array(length);
  for (let voxel = crop.indexOf(1); voxel >= 0; voxel = crop.indexOf(1, voxel + 1)) {
    whole[storedPlace(dims, place, voxel)] = 1;
  }
  return whole;
}

// The crop of a whole mask; null where the mask reaches beyond it.
function toCrop(dims, place, whole) {
  const crop = new Uint8Array(dims[0] * dims[1] * dims[2]);
  let inside = 0;
  for (let voxel = 0; voxel < crop.length; voxel++) {
    crop[voxel] = whole[storedPlace(dims, place, voxel)];
    inside += crop[voxel];
  }
  return inside === whole.reduce((sum, value) => sum + value, 0) ? crop : null;
}

// Run lengths: as many outside, inside, outside and so on; only the first may be 0.
function runsOf(mask) {
  const runs = [];
  for (let from = 0, value = 0; from < mask.length; value = 1 - value) {
    const next = mask.indexOf(1 - value, from), until = next < 0 ? mask.length : next;
    runs.push(until - from);
    from = until;
  }
  return runs;
}

// The mask of run lengths; null where they are none of that length.
function maskOf(runs, length) {
  const whole = Array.isArray(runs) && runs.every((run, n) => Number.isInteger(run) && (n ? run > 0 : run >= 0));
  if (!whole || runs.reduce((sum, run) => sum + run, 0) !== length) return null;
  const mask = new Uint8Array(length);
  let from = 0;
  runs.forEach((run, n) => {
    if (n % 2) mask.fill(1, from, from + run);
    from += run;
  });
  return mask;
}
