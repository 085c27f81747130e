#include "app/drain.h"

namespace leadsman {

std::string_view DrainPhaseName(DrainMachine::Phase phase) {
  switch (phase) {
    case DrainMachine::Phase::kServing:
      return "serving";
    case DrainMachine::Phase::kLameDuck:
      return "lame duck";
    case DrainMachine::Phase::kDraining:
      return "draining";
    case DrainMachine::Phase::kDone:
      break;
  }
  return "done";
}

DrainMachine::Effects DrainMachine::Drain(std::chrono::milliseconds grace) {
  phase_ = Phase::kDraining;
  return {.begin_drain = grace};
}

DrainMachine::Effects DrainMachine::OnSignal(int signal, SteadyTime now) {
  if (phase_ == Phase::kServing) {
    signal_ = signal;
    phase_ = Phase::kLameDuck;
    lame_duck_until_ = now + options_.delay;
    Effects effects = OnTick(now);
    effects.readiness_off = true;
    return effects;
  }
  if (signal_ == 0) {  // it drains already, without one
    signal_ = signal;
    return {};
  }
  return signal == signal_ ? Hasten() : Effects{};
}

DrainMachine::Effects DrainMachine::Hasten() {
  hastened_ = true;
  if (phase_ == Phase::kLameDuck) return Drain(options_.timeout);
  if (phase_ == Phase::kDraining) return {.begin_drain = std::chrono::milliseconds(0)};
  return {};
}

DrainMachine::Effects DrainMachine::OnHandedOver() {
  if (phase_ != Phase::kServing && phase_ != Phase::kLameDuck) return {};
  Effects effects = Drain(options_.timeout);
  effects.readiness_off = true;
  return effects;
}

DrainMachine::Effects DrainMachine::OnTick(SteadyTime now) {
  if (phase_ != Phase::kLameDuck || now < lame_duck_until_) return {};
  return Drain(options_.timeout);
}

DrainMachine::Effects DrainMachine::OnDrained() {
  if (phase_ != Phase::kDraining) return {};
  phase_ = Phase::kDone;
  return {.finish = true};
}

std::optional<SteadyTime> DrainMachine::NextTick() const {
  if (phase_ != Phase::kLameDuck) return std::nullopt;
  return lame_duck_until_;
}

}  // namespace leadsman
