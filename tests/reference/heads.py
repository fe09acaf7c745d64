"""Reference of the heads besides Tip-Adapter: each from its formulas in PyTorch float32, independent of
the Rust code (which sums by hand and differentiates by hand; here autograd and torch.optim do).

    python tests/reference/heads.py [--data ../shared/data/clip-vitb32] [--out tests/golden] [--train]

writes heads_synthetic.safetensors (made-up features, included) and, for the real CLIP features in DATA,
heads_caltech101.safetensors and heads_oxford_pets.safetensors: logits of a few test photographs and the
predictions for all of them. --train also trains every trained head on 16 real shots with five seeds and
notes the accuracies (some minutes); without it the noted ones are kept.

Where a data set has no text for its classes, the unit mean of a class's 16 shots stands in for it.
"""

import argparse
import hashlib
import json
import math
from pathlib import Path

import safetensors
import torch
from head import QUERIES, ROOT, SCALE, affinity, one_hot, provenance, save, unit
from safetensors.torch import load_file

ALPHA, BETA, GAMMA = 1.5, 5.5, 2.0
SEEDS = range(5)
PATIENCE, BETTER = 10, 1e-3
KEPT = 0.75


def gda(x, y, classes):
    """W and b, in float64 so that the golden numbers are not those of one solver's rounding."""
    x = x.double()
    mu = torch.stack([x[y == c].mean(0) for c in range(classes)])
    centred = x - mu[y.long()]
    n, dim = x.shape
    sigma = torch.cov(centred.T)
    precision = dim * torch.linalg.pinv((n - 1) * sigma + sigma.trace() * torch.eye(dim))
    weights = mu @ precision
    bias = -math.log(classes) - 0.5 * (weights * mu).sum(1)
    return weights, bias


def centred(logits):
    """Less their mean over the classes, which changes no probability: float32 is fine enough for the rest."""
    return (logits - logits.mean(1, keepdim=True)).float()


def gda_logits(q, weights, bias):
    return centred(q.double() @ weights.T + bias)


def ss_text_logits(q, x, y, text):
    return centred(SCALE * q.double() @ ss_text(x.double(), y, text.double()).T)


def ss_text(x, y, text):
    """w_c = t_c + (1/N) (1/lambda_c) (1/tau) sum of shots, lambda_c = 1/K_c, tau = 1/100."""
    v = one_hot(y, len(text)).to(x.dtype)
    return text + 100 * v.sum(0)[:, None] * (v.T @ x) / len(x)


def ape_channels(x, y, text):
    classes, dim = text.shape
    shots = len(x) // classes
    tokens = torch.cat([text[:, None], torch.stack([x[y == c] for c in range(classes)])], 1).double()
    similarity = torch.zeros(dim).double()
    for i in range(classes):
        for j in range(classes):
            if i != j:
                similarity += tokens[i].sum(0) * tokens[j].sum(0)
    similarity /= classes * (classes - 1) * (shots + 1) ** 2
    criterion = -0.7 * similarity + 0.3 * text.double().var(0)
    return criterion.topk(round(KEPT * dim)).indices.sort().values


def ape(q, x, y, text, channels, alpha, beta, gamma):
    """Cache term with exp(gamma (kl - mean kl)) as weights, logits of it alone."""
    k, t, f = unit(x[:, channels]), unit(text[:, channels]), unit(q[:, channels])
    p = (k @ t.T).softmax(1).gather(1, y.long()[:, None])[:, 0]
    kl = torch.log2((1 + 1e-6) / (p + 1e-6))
    weights = torch.exp(gamma * (kl - kl.mean()))
    return alpha * (affinity(f, k, beta) * weights) @ one_hot(y, len(text))


def train(parameters, loss, lr, eps, decay, epochs, size, batch, seed):
    """AdamW, cosine over all steps, shuffled batches; ends when the mean loss rests."""
    optimizer = torch.optim.AdamW(parameters, lr=lr, eps=eps, weight_decay=decay)
    steps = epochs * math.ceil(size / batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    best, without = None, 0
    for _ in range(epochs):
        total, order = 0.0, torch.randperm(size, generator=generator)
        for places in order.split(batch):
            value = loss(places)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            total += value.item() * len(places)
        if best is None or total / size < best * (1 - BETTER):
            best, without = total / size, 0
        else:
            without += 1
        if without >= PATIENCE:
            break


def cross_entropy(logits, y):
    return torch.nn.functional.cross_entropy(logits, y.long())


def own_out(a, places):
    """A shot's own key is left out of its sums."""
    mask = torch.ones_like(a)
    mask[torch.arange(len(places)), places] = 0
    return a * mask


def tip_f(x, y, text, alpha, beta, seed):
    keys, values = x.clone().requires_grad_(), one_hot(y, len(text))

    def loss(places):
        f = x[places]
        a = own_out(affinity(f, keys, beta), places)
        return cross_entropy(SCALE * f @ text.T + alpha * a @ values, y[places])

    train([keys], loss, 1e-3, 1e-4, 0.01, 20, len(x), 256, seed)
    return keys.detach()


def ape_t(x, y, text, alpha, beta, seed):
    channels, values = ape_channels(x, y, text), one_hot(y, len(text))
    residual = torch.zeros(len(text), len(channels), requires_grad=True)
    weights = torch.ones(len(x), requires_grad=True)

    def moved():
        full = torch.zeros(text.shape).index_copy(1, channels, residual)
        return text + full, x + full[y.long()]

    def loss(places):
        t, keys = moved()
        f = x[places]
        a = own_out(affinity(f, keys, beta) * weights, places)
        return cross_entropy(SCALE * f @ t.T + alpha * a @ values, y[places])

    train([residual, weights], loss, 1e-4, 1e-3, 0.1, 30, len(x), 256, seed)
    t, keys = moved()
    return t.detach(), keys.detach(), weights.detach().clamp(min=0)


def clip_adapter_logits(f, down, up, ratio, text):
    g = ratio * (f @ down.T).relu().matmul(up.T).relu() + (1 - ratio) * f
    return SCALE * unit(g) @ text.T


def clip_adapter(x, y, text, ratio, seed):
    torch.manual_seed(seed)
    dim = x.shape[1]
    down = torch.nn.Linear(dim, dim // 4, bias=False).weight
    up = torch.nn.Linear(dim // 4, dim, bias=False).weight

    def loss(places):
        return cross_entropy(clip_adapter_logits(x[places], down, up, ratio, text), y[places])

    train([down, up], loss, 1e-3, 1e-8, 0.01, 60, len(x), 256, seed)
    return down.detach(), up.detach()


def prolip(x, y, text):
    dim = x.shape[1]
    b = torch.zeros(dim, dim, requires_grad=True)
    penalty = len(text) / len(x)  # 1 / shots of a class

    def loss(_):
        return cross_entropy(SCALE * unit(x + x @ b.T) @ text.T, y) + penalty * (b**2).sum()

    train([b], loss, 1e-4, 1e-4, 0.0, 300, len(x), len(x), 0)
    return b.detach()


def project(x, weight, bias, image_mean):
    """The encoder's map from its trunk to the space of the text."""
    return unit(unit(x @ weight.T + bias) - image_mean)


def prolip_own(x, y, text, weight, bias, image_mean):
    """The projection itself is trained, in the units of CLIP's own: what it reads has the length of a
    LayerNorm's output, what it makes has length 10 before it is scaled to 1."""
    read = math.sqrt(x.shape[1])
    made = 10 / (x @ weight.T + bias).norm(dim=1).mean()
    start = weight * made / read
    w = start.clone().requires_grad_()
    penalty = len(text) / len(x)  # 1 / shots of a class

    def loss(_):
        g = project(read * x, w, made * bias, image_mean)
        return cross_entropy(SCALE * g @ text.T, y) + penalty * ((w - start) ** 2).sum()

    train([w], loss, 1e-4, 1e-4, 0.0, 300, len(x), len(x), 0)
    return w.detach() * read / made


def meta_rows(parameters, text, shots):
    """shots [C, K, D]"""
    query, key, gate, bias = parameters
    tokens = torch.cat([text[:, None], shots], 1)
    scores = torch.einsum("cd,cjd->cj", text @ query.T, tokens @ key.T) / math.sqrt(text.shape[1])
    mixed = torch.einsum("cj,cjd->cd", scores.softmax(1), tokens)
    return unit(text + torch.sigmoid(text @ gate + bias)[:, None] * mixed)


def meta_adapter(x, y, text, seed):
    classes, dim = text.shape
    generator = torch.Generator().manual_seed(seed)
    bound = math.sqrt(3 / dim)
    query, key = ((torch.rand(dim, dim, generator=generator) * 2 - 1) * bound for _ in range(2))
    parameters = [query, key, torch.ones(dim), torch.ones(1)]
    for p in parameters:
        p.requires_grad_()
    shots = torch.stack([x[y == c] for c in range(classes)])
    count = shots.shape[1]
    rounds = min(4, count)
    orders = []

    def loss(_):
        # In an epoch every class's shots are asked about in a new order.
        turn = len(orders) % rounds
        order = orders[-1] if turn else torch.stack([torch.randperm(count, generator=generator) for _ in range(classes)])
        orders.append(order)
        asked = order[:, turn]
        rest = torch.stack([torch.arange(count) != a for a in asked])
        support = shots[rest].view(classes, count - 1, dim)
        f = shots[torch.arange(classes), asked]
        return cross_entropy(SCALE * f @ meta_rows(parameters, text, support).T, torch.arange(classes))

    train(parameters, loss, 1e-4, 1e-4, 0.01, 40, rounds, 1, seed)
    return [p.detach() for p in parameters]


def synthetic(out):
    classes, dim, shots = 12, 64, 4
    random = torch.Generator().manual_seed(20260301)

    def normal(*shape):
        return torch.randn(*shape, generator=random)

    centres = unit(normal(classes, dim) + 0.7 * normal(1, dim))
    y = torch.arange(classes).repeat_interleave(shots)
    x = unit(centres[y] + 0.12 * normal(len(y), dim))
    text = unit(centres + 0.15 * normal(classes, dim))
    q = unit(centres.repeat(4, 1) + 0.12 * normal(4 * classes, dim))
    zero_shot = SCALE * q @ text.T
    tensors = {"x": x, "labels": y.int(), "text": text, "queries": q}

    weights, bias = gda(x, y, classes)
    tensors["gda"] = zero_shot + ALPHA * gda_logits(q, weights, bias)
    tensors["gda_without_text"] = gda_logits(q, weights, bias)
    tensors["ss_text"] = ss_text_logits(q, x, y, text)
    channels = ape_channels(x, y, text)
    tensors["ape_channels"] = channels.int()
    tensors["ape"] = zero_shot + ape(q, x, y, text, channels, ALPHA, BETA, GAMMA)
    values = one_hot(y, classes)

    # 48 shots are one batch, so that no shuffle has a part in these three.
    keys = tip_f(x, y, text, ALPHA, BETA, 0)
    tensors["tip_f.keys"] = keys
    tensors["tip_f"] = zero_shot + ALPHA * affinity(q, keys, BETA) @ values
    t, keys, key_weights = ape_t(x, y, text, ALPHA, BETA, 0)
    tensors |= {"ape_t.text": t, "ape_t.keys": keys, "ape_t.weights": key_weights}
    tensors["ape_t"] = SCALE * q @ t.T + ALPHA * (affinity(q, keys, BETA) * key_weights) @ values
    b = prolip(x, y, text)
    tensors["prolip.up"] = b
    tensors["prolip"] = SCALE * unit(q + q @ b.T) @ text.T

    down, up = clip_adapter(x, y, text, 0.2, 0)
    tensors |= {"clip_adapter.down": down, "clip_adapter.up": up}
    tensors["clip_adapter"] = clip_adapter_logits(q, down, up, 0.2, text)
    parameters = meta_adapter(x, y, text, 0)
    names = ("query", "key", "gate", "bias")
    tensors |= {f"meta.{name}": p for name, p in zip(names, parameters)}
    rows = meta_rows(parameters, text, x.view(classes, shots, dim))
    tensors["meta_adapter"] = SCALE * q @ rows.T

    # The same classes seen by a trunk of 96 dimensions; the map into the text's space is not quite right.
    lift = torch.linalg.pinv(unit(normal(dim, 96)))
    trunk, trunk_q = (unit(f @ lift.T + 0.02 * normal(len(f), 96)) for f in (x, q))
    projection = (torch.linalg.pinv(lift) + 0.05 * normal(dim, 96), 0.1 * normal(dim), 0.02 * normal(dim))
    tensors |= {"trunk.x": trunk, "trunk.queries": trunk_q, "trunk.projected": project(trunk, *projection)}
    tensors |= {f"projection.{n}": p for n, p in zip(("weight", "bias", "image_mean"), projection)}
    own = prolip_own(trunk, y, text, *projection)
    tensors["prolip_own.weight"] = own
    tensors["prolip_own"] = SCALE * project(trunk_q, own, *projection[1:]) @ text.T
    tensors["projection"] = SCALE * project(trunk_q, *projection) @ text.T
    about = provenance(alpha=ALPHA, beta=BETA, gamma=GAMMA)
    save(out / "heads_synthetic.safetensors", tensors, about)
    truth = torch.arange(classes).repeat(4)
    names = [n for n, v in tensors.items() if v.shape == zero_shot.shape]
    print("synthetic", {n: round(100 * (tensors[n].argmax(1) == truth).double().mean().item(), 1) for n in names})


def real(path, out, trained):
    data = load_file(path)
    with safetensors.safe_open(path, "pt") as file:
        classes = len(json.loads(file.metadata()["class_names"]))
    test, labels = unit(data["test_features"].float()), data["test_labels"].long()
    text = unit(one_hot(data["labels_16shot"], classes).T @ unit(data["keys_16shot"].float()))
    chosen = torch.arange(QUERIES) * len(test) // QUERIES
    zero_shot = SCALE * test @ text.T
    tensors, accuracy = {"queries": chosen.int()}, {}

    def record(name, logits):
        tensors[name] = logits[chosen]
        tensors[f"top1.{name}"] = logits.argmax(1).to(torch.uint16)
        accuracy[name] = percent(logits, labels)

    for shots in (2, 16):
        x, y = unit(data[f"keys_{shots}shot"].float()), data[f"labels_{shots}shot"]
        weights, bias = gda(x, y, classes)
        record(f"gda.{shots}", zero_shot + gda_logits(test, weights, bias))
        record(f"ss_text.{shots}", ss_text_logits(test, x, y, text))
        channels = ape_channels(x, y, text)
        record(f"ape.{shots}", zero_shot + ape(test, x, y, text, channels, ALPHA, BETA, GAMMA))
        keys = data[f"tipf_keys_{shots}shot"].float()
        record(f"tip_f.{shots}", zero_shot + ALPHA * affinity(test, keys, BETA) @ one_hot(y, classes))
    file = out / f"heads_{path.stem}.safetensors"
    noted = {}
    if trained:
        noted = train_all(data, text, test, labels)
    elif file.exists():
        with safetensors.safe_open(file, "pt") as old:
            noted = json.loads(old.metadata()["trained"])
    about = provenance(
        alpha=ALPHA, beta=BETA, gamma=GAMMA, accuracy=json.dumps(accuracy), trained=json.dumps(noted),
        input=path.name, input_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    save(file, tensors, about)
    print(path.stem, accuracy, noted)


def percent(logits, labels):
    return round(100 * (logits.argmax(1) == labels).double().mean().item(), 4)


def train_all(data, text, test, labels):
    """Accuracies on the test photographs after trainings on 16 shots, by head, one for each seed."""
    x, y = unit(data["keys_16shot"].float()), data["labels_16shot"]
    classes = len(text)
    zero_shot, values = SCALE * test @ text.T, one_hot(y, classes)
    shots = torch.stack([x[y == c] for c in range(classes)])

    def tip_f_logits(seed):
        return zero_shot + ALPHA * affinity(test, tip_f(x, y, text, ALPHA, BETA, seed), BETA) @ values

    def ape_t_logits(seed):
        t, keys, weights = ape_t(x, y, text, ALPHA, BETA, seed)
        return SCALE * test @ t.T + ALPHA * (affinity(test, keys, BETA) * weights) @ values

    def prolip_logits(_):
        return SCALE * unit(test + test @ prolip(x, y, text).T) @ text.T

    heads = {
        "tip-f": tip_f_logits,
        "ape-t": ape_t_logits,
        "clip-adapter": lambda seed: clip_adapter_logits(test, *clip_adapter(x, y, text, 0.2, seed), 0.2, text),
        "meta-adapter": lambda seed: SCALE * test @ meta_rows(meta_adapter(x, y, text, seed), text, shots).T,
        "prolip": prolip_logits,
    }
    noted = {}
    for name, logits in heads.items():
        seeds = SEEDS if name != "prolip" else range(1)  # full batch from zero: no chance in it
        noted[name] = [percent(logits(seed), labels) for seed in seeds]
        print(name, noted[name], flush=True)
    return noted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/clip-vitb32")
    parser.add_argument("--out", type=Path, default=ROOT / "tests/golden")
    parser.add_argument("--train", action="store_true")
    args = parser.parse_args()
    synthetic(args.out)
    for name in ("caltech101", "oxford_pets"):
        path = args.data / f"{name}.safetensors"
        if path.exists():
            real(path, args.out, args.train)
        else:
            print(f"left out: {path} is not there")


if __name__ == "__main__":
    main()
