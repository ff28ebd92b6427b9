"""The noise schedule is the published one."""

import pytest
import torch

from engine.rollout.sampler import add_noise, clean_from_velocity, noise_schedule


def test_timesteps_are_the_shifted_tables():
    schedule = noise_schedule((1000, 666, 333), 5.0, 0)
    assert schedule.timesteps == pytest.approx((1000.0, 908.8427, 713.9794, 0.0), abs=1e-4)
    assert [level.sigma for level in schedule.steps] == pytest.approx([1.0, 0.9088427, 0.7139794], abs=1e-6)


def test_no_context_noise_means_no_context_pass():
    assert noise_schedule((1000,), 5.0, None).timesteps == (1000.0,)


def test_without_shift_the_table_is_even():
    assert noise_schedule((1000, 500, 1), 1.0, None).timesteps == pytest.approx((1000, 500, 1), abs=1e-3)


@pytest.mark.parametrize("sigma", [1.0, 0.714, 0.005])
def test_the_true_velocity_gives_back_the_clean_latents(generator, sigma):
    clean, noise = torch.randn(2, 1, 3, 4, 5, 6, generator=generator)
    noisy = add_noise(clean, noise, sigma)
    torch.testing.assert_close(clean_from_velocity(noisy, noise - clean, sigma), clean)
