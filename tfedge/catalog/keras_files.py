"""Keras' own ImageNet weights without top: the files that ``keras.applications`` fetches.

Plain data, readable without TensorFlow or numpy; a test holds every row to what the constructors of
``tf_keras`` would fetch. Licences are those that Keras' documentation gives the weights (versions
2.1 to 2.3: VGG, ResNet, ResNetV2, Xception, Inception, MobileNet to V2, DenseNet, NASNet) or their
source (ConvNeXt, converted from facebookresearch/ConvNeXt). For the families that came later it
gives none: there it is Apache-2.0, Keras' own, under which they are distributed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KerasFile:
    """One net's file, or one for each alpha.

    ``url`` has the places ``{alpha}`` and ``{size}``; ``alphas`` are the texts for the first,
    ``sizes`` the sides of which there is a file (224 where there is none, as Keras does it).
    ``digests`` are those that Keras checks, an MD5 or a SHA-256 for each alpha; none for the nets
    of which it checks none. ``cached_as`` is the file's name in Keras' cache, where that differs.
    """

    backbone: str
    url: str
    licence: str
    alphas: tuple[tuple[float, str], ...] = ((1.0, ""),)
    sizes: tuple[int, ...] = (224,)
    digests: tuple[str, ...] = ()
    cached_as: str = ""

    def address(self, alpha: float, image_size: int) -> str:
        """Where the file lies; KeyError for an alpha that there is no file of."""
        size = image_size if image_size in self.sizes else 224
        return self.url.format(alpha=dict(self.alphas)[alpha], size=size)

    def digest(self, alpha: float) -> str:
        """MD5 (32 digits) or SHA-256 (64) of the file; "" where Keras checks none."""
        known = dict(zip((a for a, _ in self.alphas), self.digests, strict=False))
        return known.get(alpha, "")


_OLDER = "https://storage.googleapis.com/keras-applications"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_KERNELS = "_weights_tf_dim_ordering_tf_kernels_notop.h5"


def _file(backbone: str, path: str, digest: str, licence: str, cached_as: str = "") -> KerasFile:
    return KerasFile(backbone, f"{_KERAS}/{path}", licence, digests=(digest,), cached_as=cached_as)


def _mobilenet_v3(size: str, *digests: str) -> KerasFile:
    return KerasFile(
        backbone=f"MobileNetV3{size}",
        url=_KERAS
        + f"/mobilenet_v3/weights_mobilenet_v3_{size.lower()}_224_{{alpha}}_float_no_top_v2.h5",
        licence="Apache-2.0",
        alphas=((0.75, "0.75"), (1.0, "1.0")),
        digests=digests,
    )


def _efficientnet(number: str, digest: str) -> KerasFile:
    url = f"{_OLDER}/efficientnetb{number}_notop.h5"
    return KerasFile(f"EfficientNetB{number}", url, "Apache-2.0", digests=(digest,))


def _efficientnet_v2(size: str, digest: str) -> KerasFile:
    path = f"efficientnet_v2/efficientnetv2-{size.lower()}_notop.h5"
    return _file(f"EfficientNetV2{size}", path, digest, "Apache-2.0")


def _resnet(layers: str, digest: str) -> KerasFile:
    licence = "BSD-3-Clause" if layers.endswith("V2") else "MIT"
    return _file(f"ResNet{layers}", f"resnet/resnet{layers.lower()}{_KERNELS}", digest, licence)


def _resnet_rs(layers: int, side: int, digest: str) -> KerasFile:
    """Of several there are, Keras takes those that were trained at the largest side."""
    path = f"resnet_rs/resnet-rs-{layers}-i{side}_notop.h5"
    return _file(f"ResNetRS{layers}", path, digest, "Apache-2.0")


def _densenet(layers: int, digest: str) -> KerasFile:
    path = f"densenet/densenet{layers}{_KERNELS}"
    return _file(f"DenseNet{layers}", path, digest, "BSD-3-Clause")


def _convnext(size: str, digest: str) -> KerasFile:
    path = f"convnext/convnext_{size.lower()}_notop.h5"
    return _file(f"ConvNeXt{size}", path, digest, "MIT")


def _regnet(member: str, digest: str) -> KerasFile:
    path = f"regnet/regnet{member.lower()}_notop.h5"
    return _file(f"RegNet{member}", path, digest, "Apache-2.0")


# fmt: off
_ROWS = (
    KerasFile(
        backbone="MobileNet",
        url=_KERAS + "/mobilenet/mobilenet_{alpha}_{size}_tf_no_top.h5",
        licence="Apache-2.0",
        alphas=((0.25, "2_5"), (0.5, "5_0"), (0.75, "7_5"), (1.0, "1_0")),
        sizes=(128, 160, 192, 224),
    ),
    KerasFile(
        backbone="MobileNetV2",
        url=_KERAS
        + "/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{size}_no_top.h5",
        licence="Apache-2.0",
        alphas=tuple((a, str(a)) for a in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)),
        sizes=(96, 128, 160, 192, 224),
    ),
    _mobilenet_v3("Small", "ebdb5cc8e0b497cd13a7c275d475c819", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    _mobilenet_v3("Large", "40af19a13ebea4e2ee0c676887f69a2e", "07fb09a5933dd0c8eaafa16978110389"),
    _efficientnet("0", "50bc09e76180e00e4465e1a485ddc09d"),
    _efficientnet("1", "74c4e6b3e1f6a1eea24c589628592432"),
    _efficientnet("2", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    _efficientnet("3", "af6d107764bb5b1abb91932881670226"),
    _efficientnet("4", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    _efficientnet("5", "38879255a25d3c92d5e44e04ae6cec6f"),
    _efficientnet("6", "9ecce42647a20130c1f39a5d4cb75743"),
    _efficientnet("7", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    _efficientnet_v2("B0", "893217f2bb855e2983157299931e43ff"),
    _efficientnet_v2("B1", "0e80663031ca32d657f9caa404b6ec37"),
    _efficientnet_v2("B2", "1dfe2e7a5d45b6632553a8961ea609eb"),
    _efficientnet_v2("B3", "f6abf7b5849ac99a89b50dd3fd532856"),
    _efficientnet_v2("S", "af0682fb74e8c54910f2d4393339c070"),
    _efficientnet_v2("M", "1b8dc055df72dde80d614482840fe342"),
    _efficientnet_v2("L", "b0b66b5c863aef5b46e8608fe1711615"),
    _resnet("50", "4d473c1dd8becc155b73f8504c6f6626"),
    _resnet("101", "88cf7a10940856eca736dc7b7e228a21"),
    _resnet("152", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    _resnet("50V2", "fac2f116257151a9d068a22e544a4917"),
    _resnet("101V2", "c0ed64b8031c3730f411d2eb4eea35b5"),
    _resnet("152V2", "ed17cf2e0169df9d443503ef94b23b33"),
    _resnet_rs(50, 160, "90daa68cd26c95aa6c5d25451e095529"),
    _resnet_rs(101, 192, "f9a0f6b85faa9c3db2b6e233c4eebb5b"),
    _resnet_rs(152, 256, "fa79794252dbe47c89130f65349d654a"),
    _resnet_rs(200, 256, "bbdb3994718dfc0d1cd45d7eff3f3d9c"),
    _resnet_rs(270, 256, "2c42ecb22e35f3e23d2f70babce0a2aa"),
    _resnet_rs(350, 320, "ab0c1f9079d2f85a9facbd2c88aa6079"),
    _resnet_rs(420, 320, "fe6217c32be8305b1889657172b98884"),
    _densenet(121, "30ee3e1110167f948a6b9946edeeb738"),
    _densenet(169, "b8c4d4c20dd625c148057b9ff1c1176b"),
    _densenet(201, "c13680b51ded0fb44dff2d8f86ac8bb1"),
    _file(
        "InceptionV3",
        f"inception_v3/inception_v3{_KERNELS}",
        "bcbd6486424b2319ff4ef7d526e38f63",
        "Apache-2.0",
    ),
    _file(
        "InceptionResNetV2",
        f"inception_resnet_v2/inception_resnet_v2{_KERNELS}",
        "d19885ff4a710c122648d3b5c3b684e4",
        "Apache-2.0",
    ),
    _file("Xception", f"xception/xception{_KERNELS}", "b0042744bf5b25fce3cb969f33bebb97", "MIT"),
    _file(
        "NASNetMobile",
        "nasnet/NASNet-mobile-no-top.h5",
        "1ed92395b5b598bdda52abe5c0dbfd63",
        "Apache-2.0",
        cached_as="nasnet_mobile_no_top.h5",
    ),
    _file(
        "NASNetLarge",
        "nasnet/NASNet-large-no-top.h5",
        "d81d89dc07e6e56530c4e77faddd61b5",
        "Apache-2.0",
        cached_as="nasnet_large_no_top.h5",
    ),
    _convnext("Tiny", "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
    _convnext("Small", "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
    _convnext("Base", "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
    _convnext("Large", "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"),
    _convnext("XLarge", "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"),
    _regnet("X002", "5445b66cd50445eb7ecab094c1e78d4d3d29375439d1a7798861c4af15ffff21"),
    _regnet("X004", "de139bf07a66c9256f2277bf5c1b6dd2d5a3a891a5f8a925a10c8a0a113fd6f3"),
    _regnet("X006", "a43ec97ad62f86b2a96a783bfdc63a5a54de02eef54f26379ea05e1bf90a9505"),
    _regnet("X008", "3c7e4b0917359304dc18e644475c5c1f5e88d795542b676439c4a3acd63b7207"),
    _regnet("X016", "1b8e3d545d190271204a7b2165936a227d26b79bb7922bac5ee4d303091bf17a"),
    _regnet("X032", "9cd4522806c0fcca01b37874188b2bd394d7c419956d77472a4e072b01d99041"),
    _regnet("X040", "b4ed0ca0b9a98e789e05000e830403a7ade4d8afa01c73491c44610195198afe"),
    _regnet("X064", "3e706fa416a18dfda14c713423eba8041ae2509db3e0a611d5f599b5268a46c4"),
    _regnet("X080", "7b1ce8e29ceefec10a6569640ee329dba7fbc98b5d0f6346aabade058b66cf29"),
    _regnet("X120", "36174ddd0299db04a42631d028abcb1cc7afec2b705e42bd28fcd325e5d596bf"),
    _regnet("X160", "9d1485050bdf19531ffa1ed7827c75850e0f2972118a996b91aa9264b088fd43"),
    _regnet("X320", "9db7eacc37b85c98184070e1a172e6104c00846f44bcd4e727da9e50d9692398"),
    _regnet("Y002", "f63221f63d625b8e201221499682587bfe29d33f50a4c4f4d53be00f66c0f12c"),
    _regnet("Y004", "45e6ba8309a17a77e67afc05228454b2e0ee6be0dae65edc0f31f1da10cc066b"),
    _regnet("Y006", "b70261cba4e60013c99d130cc098d2fce629ff978a445663b6fa4f8fc099a2be"),
    _regnet("Y008", "b11f5432a216ee640fe9be6e32939defa8d08b8d136349bf3690715a98752ca1"),
    _regnet("Y016", "d7404f50205e82d793e219afb9eb2bfeb781b6b2d316a6128c6d7d7dacab7f57"),
    _regnet("Y032", "eb3ac1c45ec60f4f031c3f5180573422b1cf7bebc26c004637517372f68f8937"),
    _regnet("Y040", "b5be2a5e5f072ecdd9c0b8a437cd896df0efa1f6a1f77e41caa8719b7dfcb05d"),
    _regnet("Y064", "885c4b7ed7ea339daca7dafa1a62cb7d41b1068897ef90a5a3d71b4a2e2db31a"),
    _regnet("Y080", "3d119577e1e3bf8d153b895e8ea9e4ec150ff2d92abdca711b6e949c3fd7115d"),
    _regnet("Y120", "4a6fa387108380b730b71feea2ad80b5224b5ea9dc21dc156c93fe3c6186485c"),
    _regnet("Y160", "ead1e6b568be8f34447ec8941299a9df4368736ba9a8205de5427fa20a1fb316"),
    _regnet("Y320", "cad78f74a586e24c61d38be17f3ae53bb9674380174d2585da1a526b8c20e1fd"),
    _file("VGG16", f"vgg16/vgg16{_KERNELS}", "6d6bbae143d832006294945121d1f1fc", "CC-BY-4.0"),
    _file("VGG19", f"vgg19/vgg19{_KERNELS}", "253f8cb515780f3b799900260a226db6", "CC-BY-4.0"),
)
# fmt: on

KERAS_FILES: dict[str, KerasFile] = {row.backbone: row for row in _ROWS}
