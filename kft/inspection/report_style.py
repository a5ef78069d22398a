"""The look of a report: light and dark, for a screen, a phone and paper."""

STYLE = """
:root { color-scheme: light dark;
  --back: #ffffff; --card: #f6f7f9; --text: #1b1f24; --dim: #5b6470; --line: #d9dde3; --shade: 31, 95, 191;
  --bad: #b42318;
  --c0: #1f5fbf; --c1: #d1680d; --c2: #1b8a5a; --c3: #8a3ffc; --c4: #c21e56; --c5: #6b7280; }
@media (prefers-color-scheme: dark) { :root {
  --back: #14171b; --card: #1d2126; --text: #e6e9ed; --dim: #9aa4b1; --line: #343b44; --shade: 88, 152, 255;
  --bad: #ff8a7a;
  --c0: #6ea8ff; --c1: #ffab5e; --c2: #4fd39a; --c3: #bd93ff; --c4: #ff7aa2; --c5: #9aa4b1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 16px; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0.2em 0; } h2 { font-size: 1.2rem; margin: 2em 0 0.6em;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4em 0 0.4em; }
p { margin: 0.4em 0; max-width: 75ch; } .dim, small { color: var(--dim); } .bad { color: var(--bad); }
a { color: var(--c0); } nav { display: flex; flex-wrap: wrap; gap: 4px 14px; font-size: 0.9rem; margin: 8px 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 8px; margin: 12px 0; }
.fact { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; }
.fact b { display: block; font-size: 1.35rem; line-height: 1.25; font-variant-numeric: tabular-nums; } .fact small {
  display: block; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); gap: 12px; }
figure { margin: 0; } .chart { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 8px; break-inside: avoid; }
.chart svg { width: 100%; height: auto; display: block; font-size: 12px; } svg text { fill: var(--text); }
  svg text.dim { fill: var(--dim); }
svg .heading { font-weight: 600; font-size: 13px; } svg .grid { stroke: var(--line); } svg .axis {
  stroke: var(--dim); }
svg .mark { stroke: var(--dim); stroke-dasharray: 4 3; } svg .line { fill: none; stroke-width: 2; stroke: var(--c); }
  svg .dot, svg .bar { fill: var(--c); }
svg .dashed { stroke-dasharray: 5 3; } .c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 {
  --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 0.8rem; color: var(--dim); }
.key { display: inline-block; width: 18px; border-top: 3px solid var(--c); margin-right: 5px; vertical-align: middle;
  } .key.dashed { border-top-style: dashed; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.88rem;
  font-variant-numeric: tabular-nums; margin: 6px 0; }
th { overflow-wrap: normal; } th, td { padding: 3px 10px 3px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--dim); } .number { text-align: right; white-space: nowrap; } td small {
  white-space: nowrap; }
.name { overflow-wrap: normal; min-width: 6em; }
.bartrack { width: 120px; background: var(--line); border-radius: 3px; height: 8px; margin-top: 7px; } .bartrack i {
  display: block; height: 8px; border-radius: 3px; background: var(--c0); }
.matrix td, .matrix th { border: 1px solid var(--line); padding: 4px 6px; text-align: center; } .matrix th {
  font-weight: 500; }
.matrix th.name { text-align: right; white-space: nowrap; } .matrix td { background: rgba(var(--shade), var(--a));
  min-width: 2.6em; } .matrix .zero { color: var(--dim); }
.matrix td.hit { outline: 2px solid var(--c0); outline-offset: -2px; }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: 10px; }
.small { grid-template-columns: repeat(auto-fill, minmax(92px, 1fr)); gap: 8px; }
.small .key-of { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.example { font-size: 0.8rem; line-height: 1.35; break-inside: avoid; background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; padding: 6px; }
.example img { width: 100%; image-rendering: auto; border-radius: 4px; display: block; margin-bottom: 4px;
  background: var(--line); } .example .tiny { image-rendering: pixelated; }
.example .key-of { color: var(--dim); font-size: 0.72rem; }
.texts { grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); }
.texts .example { font-size: 0.9rem; } .texts .example > div { display: inline-block; margin: 2px 12px 0 0;
  font-size: 0.8rem; } .texts q { quotes: none; display: block; }
.stack { display: flex; height: 22px; border-radius: 6px; overflow: hidden; margin: 8px 0; } .stack i {
  display: block; background: var(--c); min-width: 1px; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px; overflow-x: auto;
  white-space: pre-wrap; font-size: 0.82rem; }
details { margin: 8px 0; } summary { cursor: pointer; color: var(--c0); }
footer { margin-top: 3em; color: var(--dim); font-size: 0.85rem; }
@page { margin: 14mm; }
@media print { :root { color-scheme: light; --back: #ffffff; --card: #ffffff; --text: #000000; --dim: #444444;
  --line: #cccccc; --shade: 31, 95, 191; --bad: #b42318;
  --c0: #1f5fbf; --c1: #d1680d; --c2: #1b8a5a; --c3: #8a3ffc; --c4: #c21e56; --c5: #6b7280; }
  body { max-width: none; padding: 0; font-size: 11pt; print-color-adjust: exact; -webkit-print-color-adjust: exact;
  } nav { display: none; }
  h2, h3 { break-after: avoid; } .charts { grid-template-columns: 1fr 1fr; } .wide { overflow: visible; } }
"""
