"""Makes encoder.tipcam of each network, calibrated on the photographs that the peers had.

    python tipcam.py --home HOME --tipcam PROGRAM [--only NAME,...]

Made again whenever the program is newer, so that a change of the importer is measured.
"""

import argparse
import subprocess
from pathlib import Path

from common import ENCODERS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--tipcam", type=Path, required=True)
    parser.add_argument("--only", default=",".join(ENCODERS))
    args = parser.parse_args()
    for name in args.only.split(","):
        folder, encoder = args.home / "models" / name, ENCODERS[name]
        out = folder / "encoder.tipcam"
        if out.exists() and out.stat().st_mtime > args.tipcam.stat().st_mtime:
            continue
        mean, std = (",".join(f"{v:.6g}" for v in values) for values in encoder.normalisation)
        done = subprocess.run(
            [
                args.tipcam, "encoder", "import", folder / "float.onnx", "-o", out, "--size", str(encoder.side),
                "--mean", mean, "--std", std, "--calibrate", folder / "calibration",
            ],
            capture_output=True,
            text=True,
        )  # fmt: skip
        if done.returncode:
            out.unlink(missing_ok=True)
        print(f"{name} tipcam: {'ok' if done.returncode == 0 else 'failed: ' + done.stderr.strip()[-300:]}", flush=True)


if __name__ == "__main__":
    main()
