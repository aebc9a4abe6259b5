"""An epidemic in a closed population, by the SIR model of Kermack and McKendrick (1927).

Takes how contagious a disease is and how many are immune, and leaves how high the wave is, when, and whom it reaches.
"""

from pydantic import Field

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

STEPS = 40  # to an infectious period
FIRST, LAST = 1e-4, 1e-6  # share of the population that is infectious when the wave begins and when it counts as over


class EpidemicInput(ExperimentInputSpec):
    """A disease and a population."""

    r0: float = Field(description="Basic reproduction number [-]", gt=0, le=20)
    infectious_period: float = Field(description="Mean time a person is infectious [days]", ge=1, le=30)
    vaccinated: float = Field(description="Share of the population that is immune at the start [-]", ge=0, le=0.99)


class EpidemicOutput(ExperimentOutputSpec):
    """The wave that follows."""

    attack_rate: float = Field(description="Share of the population infected in the end [-]", ge=0, le=1)
    peak_prevalence: float = Field(description="Largest share infectious at one time [-]", ge=0, le=1)
    peak_day: float = Field(description="Day of the peak [days]", ge=0)
    duration: float = Field(description="Day on which the wave is over [days]", ge=0)


@ExperimentRegistry.Register()
def simulate_epidemic(input_spec: EpidemicInput) -> EpidemicOutput:
    """Follow the susceptible and the infectious, ds/dt = -r0 s i and di/dt = r0 s i - i, until the wave is over.

    Time t counts infectious periods.
    """
    step = input_spec.infectious_period / STEPS
    s = start = 1 - input_spec.vaccinated - FIRST
    i = peak = FIRST
    day = peak_day = 0.0
    while i > LAST:
        s, i = runge_kutta_step(s, i, input_spec.r0)
        day += step
        if i > peak:
            peak, peak_day = i, day
    return EpidemicOutput(attack_rate=FIRST + start - s, peak_prevalence=peak, peak_day=peak_day, duration=day)


def runge_kutta_step(s: float, i: float, r0: float) -> tuple[float, float]:
    """Advance both shares by one step of the classical fourth-order Runge-Kutta method."""
    ds, di = sum_ds, sum_di = slope(s, i, r0)
    for reach, weight in ((0.5, 2), (0.5, 2), (1, 1)):
        ds, di = slope(s + reach / STEPS * ds, i + reach / STEPS * di, r0)
        sum_ds += weight * ds
        sum_di += weight * di
    return s + sum_ds / 6 / STEPS, i + sum_di / 6 / STEPS


def slope(s: float, i: float, r0: float) -> tuple[float, float]:
    """Give the change of the susceptible and of the infectious per infectious period."""
    infections = r0 * s * i
    return -infections, infections - i
