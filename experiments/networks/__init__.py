"""Networks that are used and never trained here, the FID network, DINOv2 and the VAE, and all published weights.

What is made of their features is `metrics`; the network that is trained is `dit_grid.model`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.experiments.networks.autoencoder import VAEConfig as VAEConfig
    from dit_grid.experiments.networks.features import FeatureNetwork as FeatureNetwork
    from dit_grid.experiments.networks.weight_files import (
        read_header as read_header,
        write_weights as write_weights,
    )
    from dit_grid.experiments.networks.weight_places import weights_sha256 as weights_sha256

__getattr__, __dir__ = on_first_use(__name__)
