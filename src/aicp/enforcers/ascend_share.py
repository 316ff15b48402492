"""Soft share of an Ascend NPU: several processes on one chip, with quotas kept by a library inside a container.

Documented are the driver's switch (npu-smi set -t device-share, from driver 25.5 on), which lets containers share a
chip and limits none of them, and libraries for containers that count memory and time; neither is part of the driver."""

from __future__ import annotations

from aicp.enforcers._not_offered import NotOffered

driver = NotOffered(
    "the switch device-share lets engines share a chip and limits none of them; the quotas need a library that "
    "Huawei publishes for containers alone; publish on a vNPU or on a whole NPU"
)
