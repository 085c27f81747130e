#pragma once

#include "base/schema.h"
#include "rollout/plan.h"

namespace leadsman {

/// The table of a rollout plan: YAML file, admin API and Kubernetes objects read through it.
/// Immutable; thread-safe. A plan without gates gets the default ones: errors and latency.
const schema::Struct<RolloutPlan>& RolloutPlanSchema();

/// The plan of a configuration that says `rollout: {}`.
RolloutPlan DefaultRolloutPlan();

}  // namespace leadsman
