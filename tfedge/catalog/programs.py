"""Programs that are no Python packages, and what brings them. Imports nothing."""

ADB = "apt install adb, or Android's SDK Platform-Tools in the PATH"
SSH = "apt install openssh-client"
EDGETPU_COMPILER = (
    "install edgetpu_compiler (Debian package of Google's Coral repository, x86-64 only: "
    "https://coral.ai/docs/edgetpu/compiler), or name an image that has it as "
    "package.coral.compiler: docker:IMAGE, or set package.coral.compile: defer for a drop with a "
    "script that compiles it later"
)
CUDA = "NVIDIA's driver and pip install 'tensorflow[and-cuda]'"
