"""Noise models against their published formulas."""

from __future__ import annotations

import numpy as np
import pytest

from referent.config import Config, GeometryConfig
from referent.errors import ConfigError
from referent.geometry.noise import depth_sigma_m, independent_samples, slant_factor
from referent.settings import override

KINECT = GeometryConfig(depth_sensor="kinect")


@pytest.mark.parametrize(("z_m", "sigma_m"), [(0.4, 0.0012), (0.8, 0.001504), (1.4, 0.0031), (3.0, 0.014044)])
def test_a_kinect_errs_as_measured_by_nguyen_whatever_its_focal_length(z_m: float, sigma_m: float) -> None:
    assert depth_sigma_m(z_m, 525.0, KINECT) == pytest.approx(sigma_m, rel=1e-6)
    assert depth_sigma_m(z_m, 1050.0, KINECT) == depth_sigma_m(z_m, 525.0, KINECT)


def test_stereo_is_the_default_and_takes_arrays_as_well() -> None:
    z_m = np.array([0.5, 1.0, 2.0], np.float32)
    for config in (GeometryConfig(), KINECT):
        every = depth_sigma_m(z_m, 600.0, config)
        assert every.dtype == np.float32
        np.testing.assert_allclose(every, [depth_sigma_m(float(z), 600.0, config) for z in z_m], rtol=1e-6)
    np.testing.assert_allclose(depth_sigma_m(z_m, 600.0, GeometryConfig()), z_m**2 * 0.1 / (600 * 0.05), rtol=1e-6)


def test_a_slanted_surface_is_noisier_and_a_grazed_one_tells_nothing() -> None:
    factor = slant_factor(np.cos(np.deg2rad([0, 60, 69.9, 70.1, 90, 180, 120])))
    np.testing.assert_allclose(factor[[0, 1, 5, 6]], [1, 2, 1, 2], rtol=1e-6)
    assert factor[2] < 3
    assert np.isinf(factor[[3, 4]]).all()


def test_the_length_over_which_pixels_err_together_is_a_setting() -> None:
    assert independent_samples(14_400, 0.5, 600.0) == pytest.approx(100.0)
    assert independent_samples(14_400, 0.5, 600.0, 0.02) == pytest.approx(25.0)
    assert independent_samples(3, 0.5, 600.0, 0.02) == 1.0
    assert override(Config(), {"geometry.depth_correlation_m": 0.02}).geometry.depth_correlation_m == 0.02


def test_an_unknown_sensor_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"geometry.depth_sensor.*stereo.*kinect"):
        override(Config(), {"geometry.depth_sensor": "lidar"})
