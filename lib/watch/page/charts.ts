/** Draws series of samples as line charts, in the browser. @module */

/** A module of the page. Time runs from left to right, and the scale grows with the highest value shown. */
export const CHARTS: string = String.raw`
const NS = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 120;

/** Ms that a chart spans. */
export const SPAN = 180000;

/** Ms without a sample after which the line is interrupted: what happened there is unknown. */
const GAP = 4000;

function node(name, className, attributes) {
  const element = document.createElementNS(NS, name);
  element.setAttribute("class", className);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  return element;
}

/** The next round number above a value; a power of two for bytes. */
function ceiling(value, binary) {
  if (binary) return Math.max(1024, Math.pow(2, Math.ceil(Math.log2(Math.max(1, value)))));
  if (value <= 4) return 4;
  const power = Math.pow(10, Math.floor(Math.log10(value)));
  for (const step of [1, 2, 4, 5, 10]) if (value <= step * power) return step * power;
}

/** One chart with a line for each of its series. */
export class Chart {
  constructor(place, options) {
    this.options = options;
    const figure = document.createElement("figure");
    const caption = figure.appendChild(document.createElement("figcaption"));
    caption.appendChild(document.createElement("strong")).textContent = options.title;
    this.keys = options.series.map(function (series, i) {
      const key = caption.appendChild(document.createElement("span"));
      key.className = "key";
      if (options.series.length > 1) {
        const sample = key.appendChild(node("svg", "", { viewBox: "0 0 18 6", "aria-hidden": "true" }));
        sample.appendChild(node("path", "line " + (i === 0 ? "one" : "two"), { d: "M1 3H17" }));
      }
      return key.appendChild(document.createTextNode(series.name));
    });
    const plot = figure.appendChild(document.createElement("div"));
    plot.className = "plot";
    this.svg = plot.appendChild(node("svg", "", {
      viewBox: "0 0 " + WIDTH + " " + HEIGHT,
      preserveAspectRatio: "none",
      role: "img",
    }));
    this.svg.appendChild(node("path", "grid", {
      d: "M0 0H" + WIDTH + "M0 " + HEIGHT / 2 + "H" + WIDTH + "M0 " + HEIGHT + "H" + WIDTH,
    }));
    this.area = this.svg.appendChild(node("path", "area", {}));
    const svg = this.svg;
    this.lines = options.series.map(function (_, i) {
      return svg.appendChild(node("path", "line " + (i === 0 ? "one" : "two"), {}));
    });
    this.scale = ["top", "middle", "bottom"].map(function (className) {
      const label = plot.appendChild(document.createElement("span"));
      label.className = className;
      label.setAttribute("aria-hidden", "true");
      return label.appendChild(document.createTextNode(""));
    });
    const axis = figure.appendChild(document.createElement("div"));
    axis.className = "axis";
    axis.setAttribute("aria-hidden", "true");
    for (const word of ["3 min ago", "2 min", "1 min", "now"]) {
      axis.appendChild(document.createElement("span")).textContent = word;
    }
    place.appendChild(figure);
  }

  /** Draws the samples, the oldest first; at of each is when it was taken. */
  draw(samples, now) {
    const options = this.options;
    let most = 0;
    for (const sample of samples) {
      for (const series of options.series) most = Math.max(most, sample[series.of]);
    }
    const scale = ceiling(most, options.binary);
    const words = [];
    for (let i = 0; i < options.series.length; i++) {
      const series = options.series[i];
      let line = "";
      let area = "";
      let before = -Infinity;
      let x = 0;
      for (const sample of samples) {
        x = Math.max(0, WIDTH * (1 - (now - sample.at) / SPAN)).toFixed(1);
        const y = (HEIGHT * (1 - sample[series.of] / scale)).toFixed(1);
        const continues = sample.at - before <= GAP;
        if (!continues && area !== "") area += "V" + HEIGHT + "Z";
        line += (continues ? "L" : "M") + x + " " + y;
        area += (continues ? "L" : "M" + x + " " + HEIGHT + "L") + x + " " + y;
        before = sample.at;
      }
      this.lines[i].setAttribute("d", line);
      if (i === 0) this.area.setAttribute("d", area === "" ? "" : area + "V" + HEIGHT + "Z");
      const last = samples.length === 0 ? 0 : samples[samples.length - 1][series.of];
      const text = (options.series.length > 1 ? series.name + " " : "") + options.format(last);
      if (this.keys[i].data !== text) this.keys[i].data = text;
      words.push((options.series.length > 1 ? series.name + ": " : "") + "now " + options.format(last));
    }
    [scale, scale / 2, 0].forEach((value, i) => {
      const text = options.format(value);
      if (this.scale[i].data !== text) this.scale[i].data = text;
    });
    const highest = "; highest in three minutes " + options.format(most);
    this.svg.setAttribute("aria-label", options.title + ": " + words.join(", ") + highest);
  }
}
`;
