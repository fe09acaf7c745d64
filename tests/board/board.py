"""An emulated board: qemu with a Debian kernel for 64-bit ARM, a virtual camera, a disk and a network."""

import io
import shutil
import socket
import subprocess
from pathlib import Path

from lines import Lines

HERE = Path(__file__).parent
# What the page and its API ask for.
TOKEN = "token-of-the-emulated-board"
# The driver `vivid` is a webcam that shows test patterns; the rest is what a disk and a network need.
MODULES = {"virtio_mmio": "", "virtio_blk": "", "virtio_net": "", "ext4": "",
           "vivid": "n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0"}
MACHINE = ["-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "768", "-nographic", "-no-reboot"]


def missing():
    """The programs that this needs and that are not here."""
    needed = ["qemu-system-aarch64", "aarch64-linux-gnu-gcc", "dpkg-deb", "mke2fs", "depmod", "modprobe", "cpio"]
    return [name for name in needed if not shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")]


def kernel(folder):
    """Unpacks Debian's kernel and busybox into `folder`, once; the kernel's folder and its version."""
    kern = folder / "kernel"
    if not kern.exists():
        folder.mkdir(parents=True, exist_ok=True)
        depends = subprocess.run(["apt-cache", "depends", "linux-image-arm64:arm64"],
                                 check=True, capture_output=True, text=True).stdout
        image = next(word for word in depends.split() if word.startswith("linux-image-"
                     ) and word != "linux-image-arm64:arm64")
        subprocess.run(["apt-get", "download", "-q", image, "busybox-static:arm64"], cwd=folder, check=True)
        part = folder / "kernel.part"
        shutil.rmtree(part, ignore_errors=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, part], check=True)
        version = next((part / "lib/modules").iterdir()).name
        subprocess.run(["depmod", "-b", part, version], check=True)
        part.rename(kern)
    return kern, next((kern / "lib/modules").iterdir()).name


def initrd(folder, kern, version):
    """The board's first files: busybox, `init`, the modules in the order to load them, and `control`."""
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "bin").mkdir(parents=True)
    (root / "modules").mkdir()
    shutil.copy(kern / "bin/busybox", root / "bin")
    shutil.copy(HERE / "init", root / "init")
    (root / "init").chmod(0o755)
    subprocess.run(["aarch64-linux-gnu-gcc", "-Os", "-static", "-o", root / "bin/control", HERE / "control.c"], check=True)
    order = {}
    for name, options in MODULES.items():
        asked = ["modprobe", "-d", kern, "-S", version, "--show-depends", name]
        for line in subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines():
            # "insmod PATH"; "builtin NAME" needs nothing
            if line.startswith("insmod "):
                path = Path(line.split()[1])
                shutil.copy(path, root / "modules")
                order[path.name] = options if path.stem == name else ""
    (root / "modules/list").write_text("".join(f"{name} {options}\n" for name, options in order.items()))
    image = folder / "initrd"
    with image.open("wb") as out:
        files = subprocess.run(["find", "."], cwd=root, check=True, capture_output=True).stdout
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=files, stdout=out, check=True)
    return image


def disk(folder, program):
    """The board's disk, with the program on it and room for what is learned."""
    content = folder / "disk"
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir()
    shutil.copy(program, content / "tipcam")
    (content / "state").mkdir()
    (content / "state/token").write_text(TOKEN)
    image = folder / "disk.ext4"
    image.unlink(missing_ok=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", content, image, "384M"], check=True)
    return image


def files(folder, program):
    """All that a board is made of, in `folder`."""
    kern, version = kernel(folder)
    return kern / f"boot/vmlinuz-{version}", initrd(folder, kern, version), disk(folder, program)


class Board:
    """A board that is switched on. Whatever goes wrong, it is switched off at the end of `with`."""

    def __init__(self, kern, initrd, disk):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.qemu = subprocess.Popen(
            ["qemu-system-aarch64", *MACHINE, "-kernel", kern, "-initrd", initrd,
             "-append", "console=ttyAMA0 quiet panic=-1",
             "-drive", f"if=none,id=disk,format=raw,file={disk}", "-device", "virtio-blk-device,drive=disk",
             "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-:4912", "-device", "virtio-net-device,netdev=net"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        console = io.TextIOWrapper(self.qemu.stdout, errors="replace")
        self.wait = Lines(console).wait

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()

    def do(self, command):
        """Runs a shell command on the board."""
        self.start(command)
        status = self.wait(f"end of `{command}`", lambda line: line if line.startswith("board: done") else None)
        if status != "board: done 0":
            raise SystemExit(f"board: `{command}` failed: {status}")

    def start(self, command):
        """Gives the board a shell command and does not wait for its end."""
        self.qemu.stdin.write(f"{command}\n".encode())
        self.qemu.stdin.flush()

    def cut(self):
        """Takes the power away."""
        self.qemu.kill()
        self.qemu.wait()
