"""Exports classifiers of torchvision and timm, and holds what Potstill makes of each file against ONNX Runtime.

    python tests/interop/zoo.py target/release/potstill                  all networks, both exporters
    python tests/interop/zoo.py target/release/potstill vit swin         those whose name contains one of the words, in their order
    python tests/interop/zoo.py target/release/potstill --table FILE     also writes a row per file, tab-separated
    python tests/interop/zoo.py target/release/potstill --batches 1,16   at other batch sizes than 1 and 2

Every network has random weights (running statistics moved by one batch), ten classes and an open batch axis. A row says: network, exporter, the
largest difference at each batch size relative to the largest logit, and where it failed, the reason. From 16 pictures on, Potstill computes many 3 x 3
convolutions by another algorithm than for fewer. Files are deleted once they were compared.
Needs: pip install torch torchvision timm onnx onnxruntime onnxscript.
"""

import argparse
import contextlib
import logging
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from judge import compare, last_line

TORCHVISION = """alexnet vgg11 vgg11_bn resnet18 resnext50_32x4d wide_resnet50_2 densenet121 squeezenet1_0 squeezenet1_1 googlenet inception_v3
mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet0_5 shufflenet_v2_x0_5 efficientnet_b0 efficientnet_v2_s regnet_x_400mf regnet_y_400mf
convnext_tiny vit_b_32 swin_t swin_v2_t maxvit_t""".split()

TIMM = """resnet10t resnet26d seresnet18 ecaresnet26t resnetblur18 resnetaa34d skresnet18 resnest14d gcresnext26ts botnet26t_256
lambda_resnet26t halonet26t eca_halonext26ts selecsls42b res2net50_14w_8s hrnet_w18_small dla34 dla46_c densenet121 vgg11 xception41p inception_v4
inception_resnet_v2 cspresnet50 cspdarknet53 darknet53 dpn48b nf_resnet50 dm_nfnet_f0 nf_regnet_b0 eca_nfnet_l0 repvgg_a0 mobileone_s0
regnetx_002 regnety_002 regnetz_b16 mobilenetv1_100 mobilenetv2_050 mobilenetv3_small_050 mobilenetv4_conv_small mobilenetv4_hybrid_medium
mnasnet_small mixnet_s efficientnet_lite0 efficientnetv2_rw_t tf_efficientnet_b0 tf_efficientnetv2_b0 ghostnet_050 ghostnetv2_100 tinynet_e
rexnet_100 hardcorenas_a fbnetc_100 fbnetv3_b semnasnet_075 spnasnet_100 lcnet_050 convnext_atto convnextv2_atto convmixer_768_32 edgenext_xx_small
fasternet_t0 starnet_s1 inception_next_atto repvit_m0_9 repghostnet_050 tresnet_m vovnet39a ese_vovnet19b_dw hgnet_tiny hgnetv2_b0
vit_tiny_patch16_224 vit_small_patch32_224 vit_tiny_r_s16_p8_224 vit_relpos_small_patch16_224 vit_srelpos_small_patch16_224 vit_xsmall_patch16_clip_224
deit_tiny_patch16_224 deit_tiny_distilled_patch16_224 deit3_small_patch16_224 eva02_tiny_patch14_224 beit_base_patch16_224 beitv2_base_patch16_224
flexivit_small swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_ns_224 swin_s3_tiny_224 mixer_s32_224 resmlp_12_224 gmlp_ti16_224
gmixer_12_224 poolformer_s12 poolformerv2_s12 convformer_s18 caformer_s18 coat_tiny coat_lite_tiny crossvit_tiny_240
pit_ti_224 pit_ti_distilled_224 levit_128s levit_conv_128s mobilevit_xxs mobilevitv2_050 efficientformer_l1 efficientformerv2_s0 efficientvit_b0
efficientvit_m0 fastvit_t8 fastvit_mci0 tiny_vit_5m_224 visformer_tiny visformer_small xcit_nano_12_p16_224 cait_xxs24_224 maxvit_tiny_rw_224
coatnet_nano_rw_224 coatnext_nano_rw_224 maxxvit_rmlp_nano_rw_256 twins_pcpvt_small twins_svt_small pvt_v2_b0 convit_tiny tnt_s_patch16_224 nest_tiny
jx_nest_tiny volo_d1_224 sequencer2d_s focalnet_tiny_srf davit_tiny gcvit_xxtiny hiera_tiny_224 mvitv2_tiny nextvit_small mambaout_femto rdnet_tiny
swiftformer_xs shvit_s1 vitamin_small_224 sam2_hiera_tiny""".split()


def networks():
    """Names, and functions that make them."""
    import timm
    import torchvision

    for name in TORCHVISION:
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        if name in ("googlenet", "inception_v3"):
            extra["aux_logits"] = False
        size = 299 if name == "inception_v3" else 224
        yield f"torchvision/{name}", size, lambda name=name, extra=extra: torchvision.models.get_model(name, weights=None, num_classes=10, **extra)
    known = set(timm.list_models())
    for entry in dict.fromkeys(word.split("=")[-1] for word in TIMM):
        if entry not in known:
            print(f"timm has no {entry}", file=sys.stderr)
            continue
        yield f"timm/{entry}", None, lambda name=entry: timm.create_model(name, pretrained=False, num_classes=10)


def moved(network, shape):
    """The network in inference mode, its running statistics moved by one batch, classifiers that begin at zero drawn."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1 and not parameter.any():
                parameter.normal_(std=0.02)
    norms = [each for each in network.modules() if isinstance(each, torch.nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return network.eval()
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(2, *shape))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


@contextlib.contextmanager
def silence():
    """Nothing on standard output: the C++ of the TorchScript exporter prints the whole graph where it fails."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def export(network, exporter, shape, path):
    example = torch.randn(2, *shape)
    if exporter == "dynamo":
        torch.onnx.export(
            network, (example,), path, dynamo=True, opset_version=20, input_names=["input"], output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},), verbose=False, external_data=False,
        )  # fmt: skip
    else:
        torch.onnx.export(
            network, example, path, dynamo=False, opset_version=17, input_names=["input"], output_names=["logits"],
            dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
        )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", help="the potstill program")
    parser.add_argument("words", nargs="*", help="only networks whose name contains one of these")
    parser.add_argument("--exporter", choices=("legacy", "dynamo"), help="this exporter alone")
    parser.add_argument("--batches", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2], help="batch sizes, 1,2 unless given")
    parser.add_argument("--table", type=Path, help="also append the rows to this file")
    parser.add_argument("--keep", type=Path, help="keep the files that failed in this folder")
    options = parser.parse_intermixed_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    # One operator for all of an attention layer, which the TorchScript exporter does not know.
    torch.backends.mha.set_fastpath_enabled(False)
    counts = {}
    done = set()
    if options.table and options.table.exists():
        done = {tuple(line.split("\t")[:2]) for line in options.table.read_text().splitlines()}
    chosen = list(networks())
    if options.words:
        rank = {name: next((i for i, word in enumerate(options.words) if word in name), None) for name, _, _ in chosen}
        chosen = sorted((each for each in chosen if rank[each[0]] is not None), key=lambda each: rank[each[0]])
    for name, size, make in chosen:
        wanted = [e for e in ("legacy", "dynamo") if options.exporter in (None, e) and (name, e) not in done]
        if not wanted:
            continue
        try:
            torch.manual_seed(5)
            network = make()
            shape = (3, size, size) if size else tuple(network.pretrained_cfg["input_size"])
            moved(network, shape)
        except Exception as error:
            print(f"{name}\tnot made: {last_line(error)}", flush=True)
            continue
        for exporter in wanted:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "network.onnx"
                start = time.time()
                try:
                    with torch.no_grad(), silence():
                        export(network, exporter, shape, path)
                except Exception as error:
                    differences, reason = [], f"PyTorch does not export it: {last_line(error)}"
                else:
                    differences, reason = compare(options.binary, path, shape, options.batches)
                    wrong = len(differences) < len(options.batches) or not max(differences) <= 1e-3
                    if wrong and options.keep:
                        options.keep.mkdir(exist_ok=True)
                        path.replace(options.keep / f"{name.replace('/', '_')}_{exporter}.onnx")
                took = time.time() - start
            verdict = "not exported" if reason.startswith("PyTorch") else "not run by ONNX Runtime" if reason.startswith("ONNX Runtime") else "refused" if reason else "agrees" if max(differences) <= 1e-3 else "differs"
            counts[exporter, verdict] = counts.get((exporter, verdict), 0) + 1
            row = "\t".join([name, exporter, verdict, *(f"{d:.1e}" for d in differences), reason])
            print(f"{row}\t{took:.0f} s", flush=True)
            if options.table:
                with options.table.open("a") as table:
                    table.write(row + "\n")
    for (exporter, verdict), count in sorted(counts.items()):
        print(f"{exporter}: {count} {verdict}")


if __name__ == "__main__":
    main()
