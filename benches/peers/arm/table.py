"""The counts as Markdown, for docs/benchmarks.md."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from processors import PROCESSORS  # noqa: E402
from report import TITLES, table  # noqa: E402

# Million instructions an image that tipcam is to stay under.
GOALS = {
    "vitb32": {"a53": 950, "a72": 950, "a76": 330, "i8mm": 205},
    "tinyclip8m": {"a53": 430, "a72": 430, "a76": 155, "i8mm": 105},
    "effl0": {"a53": 110, "a72": 110, "a76": 45, "i8mm": 40},
}


def write_table(rows, home):
    """`rows`: (encoder, processor, engine) -> result."""
    text = (
        "Million instructions an image under `qemu-aarch64` (a plugin counts them, [benches/peers/arm](../benches/peers/arm)), "
        "one thread, loading not included; in brackets, relative to all multiply-accumulates at "
        + ", ".join(f"{p.macs} an instruction on {name}" for name, p in PROCESSORS.items())
        + ". No caches and no latencies are in these numbers.\n"
    )
    for name, title in TITLES.items():
        found = {key[1:]: row for key, row in rows.items() if key[0] == name}
        if not found:
            continue
        macs = sum(json.loads((home / "models" / name / "macs.json").read_text()).values())

        def cell(processor, engine):
            row = found.get((processor, engine), {})
            if "instructions" not in row:
                return "failed" if row else ""
            ideal = macs / PROCESSORS[processor].macs
            return f"{row['instructions'] / 1e6:.1f} ({row['instructions'] / ideal:.2f})"

        engines = sorted({engine for _, engine in found}, key=lambda e: (e != "tipcam", e))
        lines = []
        for engine in engines:
            cosines = [r["cosine"] for (_, e), r in found.items() if e == engine and "cosine" in r]
            cosine = f"{min(cosines):.4f}" if cosines else ""
            lines.append(
                [f"**{engine}**" if engine == "tipcam" else engine, *(cell(p, engine) for p in PROCESSORS), cosine]
            )
        if name in GOALS:
            lines.append(["goal", *GOALS[name].values(), ""])
        head = ["engine", *(p.title for p in PROCESSORS.values()), "cosine"]
        text += f"\n### {title}, {macs / 1e6:.1f} million multiply-accumulates\n\n{table(head, lines)}"
    (home / "arm/table.md").write_text(text)
