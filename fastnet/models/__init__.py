"""Known architectures, one module per family.  Parameter names are torchvision's, so that published weights load."""

from fastnet.models.alexnet import alexnet, alexnet_2012
from fastnet.models.convnet import three_layer_convnet
from fastnet.models.convolutional import fully_convolutional
from fastnet.models.depth import drop_rates
from fastnet.models.efficientnet import efficientnet_lite0
from fastnet.models.fixup import fixup_resnet20, fixup_resnet56, fixup_resnet110
from fastnet.models.googlenet import googlenet
from fastnet.models.head import head_of
from fastnet.models.lenet import lenet5
from fastnet.models.mobilenet import mobilenet_v2
from fastnet.models.pattern import pattern
from fastnet.models.registry import create, names
from fastnet.models.resnet import resnet18, resnet34, resnet50, resnet101
from fastnet.models.resnet_cifar import resnet9, resnet20, resnet32, resnet44, resnet56
from fastnet.models.squeezenet import squeezenet1_0, squeezenet1_1
from fastnet.models.vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn

__all__ = [
    "alexnet",
    "alexnet_2012",
    "create",
    "drop_rates",
    "efficientnet_lite0",
    "fixup_resnet110",
    "fixup_resnet20",
    "fixup_resnet56",
    "fully_convolutional",
    "googlenet",
    "head_of",
    "lenet5",
    "mobilenet_v2",
    "names",
    "pattern",
    "resnet101",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet9",
    "squeezenet1_0",
    "squeezenet1_1",
    "three_layer_convnet",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]
