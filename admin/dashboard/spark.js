// A plain chart for builds without uPlot: the same lines, without axes to read or a cursor to ask.

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 600, HEIGHT = 120; // units of the drawing, which is stretched to its place

function svg(name, attributes) {
  const e = document.createElementNS(SVG, name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

/** Draws lines inside box. Each line is {colour, fill}; colours are names of variables, so that they follow the theme. */
export class Spark {
  #lines;
  #top;
  #stepped;

  constructor(box, lines, stepped) {
    this.#stepped = stepped;
    this.#top = document.createElement('span');
    const drawing = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    this.#lines = lines.map(({ colour, fill }) => {
      const area = svg('path', { class: 'area' }), stroke = svg('path', { class: 'line' });
      area.style.fill = fill ? `var(${colour})` : 'none';
      stroke.style.stroke = `var(${colour})`;
      drawing.append(area, stroke);
      return { area, stroke, fill };
    });
    box.classList.add('spark');
    box.append(this.#top, drawing);
  }

  /** Shows columns, which belong to times, from and to in Unix seconds. label writes the value of the upper edge. */
  draw(times, columns, from, to, top, label) {
    this.#top.textContent = label(top);
    const x = (t) => ((t - from) / (to - from)) * WIDTH;
    const y = (v) => HEIGHT - (v / top) * (HEIGHT - 2) - 1;
    this.#lines.forEach(({ area, stroke, fill }, k) => {
      const pieces = split(times, columns[k], from);
      const lines = pieces.map((piece) => piece.map(([t, v], i) => {
        const point = `${x(t).toFixed(1)} ${y(v).toFixed(1)}`;
        return i && this.#stepped ? `H${x(t).toFixed(1)}V${y(v).toFixed(1)}` : (i ? 'L' : 'M') + point;
      }).join(''));
      stroke.setAttribute('d', lines.join(''));
      if (fill) area.setAttribute('d', lines.map((d, i) => `${d}V${HEIGHT}H${x(pieces[i][0][0]).toFixed(1)}Z`).join(''));
    });
  }
}

// The runs of known values since from.
function split(times, column, from) {
  const pieces = [];
  let piece = null;
  times.forEach((t, i) => {
    const v = t >= from ? column[i] : null;
    if (v == null) piece = null;
    else if (piece) piece.push([t, v]);
    else pieces.push(piece = [[t, v]]);
  });
  return pieces;
}
