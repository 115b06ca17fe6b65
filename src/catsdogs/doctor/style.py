"""How the report looks: system fonts, two palettes, one column on a phone."""

STYLE = """
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1c1f23;--soft:#5c636b;--line:#dfe2e5;--one:#2f6fb2;
--two:#c2701c;--bad:#b3261e;--badbg:#fdecea;--good:#1b6e3c;--goodbg:#e7f5ec;--code:#f1f2f4}
@media (prefers-color-scheme:dark){:root{--bg:#131518;--card:#1b1e22;--ink:#e7e9ec;--soft:#a0a7b0;--line:#32373d;
--one:#6ea8e6;--two:#e8a15a;--bad:#ff8a80;--badbg:#3a1d1b;--good:#7fd6a0;--goodbg:#17301f;--code:#24282d}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0}
h2{font-size:1.25rem;margin:2.5rem 0 .5rem;padding-top:.5rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.2rem 0 .4rem}
p{margin:.4rem 0;max-width:48rem}
.soft,figcaption,th{color:var(--soft)}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1rem;margin:1rem 0}
a{color:var(--one)}
a:focus-visible,summary:focus-visible{outline:2px solid var(--one);outline-offset:2px}
.verdict{display:inline-block;padding:.15rem .7rem;border-radius:1rem;font-weight:600}
.good{color:var(--good);background:var(--goodbg)}
.bad{color:var(--bad);background:var(--badbg)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.7rem;margin:1rem 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
.tile b{display:block;font-size:1.5rem;font-variant-numeric:tabular-nums}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:.8rem}
.plot{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem;margin:0}
.plot svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}
svg .one{fill:var(--one)}svg .two{fill:var(--two)}svg .axis{stroke:var(--line)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem .9rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:500}.n{text-align:right}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(7.5rem,1fr));gap:.7rem;margin:.6rem 0}
.grid figure{margin:0;min-width:0}
figure img,.none{width:100%;aspect-ratio:1;object-fit:contain;background:var(--code);border-radius:.35rem;display:block}
.none{display:grid;place-items:center;color:var(--soft);font-size:.8rem}
figcaption{font-size:.8rem;line-height:1.35;overflow-wrap:anywhere;margin-top:.2rem}
figcaption b{color:var(--ink);font-weight:600}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:.2rem}
.pairs{grid-template-columns:repeat(auto-fill,minmax(13rem,1fr))}
.pixels{image-rendering:pixelated}
.group{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem;margin:.7rem 0}
pre{background:var(--code);border-radius:.35rem;padding:.5rem .7rem;overflow-x:auto;font-size:.8rem;margin:.4rem 0}
details{margin:.4rem 0}summary{cursor:pointer;color:var(--soft)}
@media (max-width:40rem){.rules th:last-child,.rules td:last-child{display:none}}
@media print{nav{display:none}}
"""
