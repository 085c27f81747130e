#include "app/label_moves.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

ModelConfig Labelled(std::map<std::string, int64_t> labels) {
  ModelConfig model;
  model.name = "m";
  model.labels = std::move(labels);
  return model;
}

/// Version 1 is ready and 2 loads; `stable` points at 1.
std::map<std::string, ModelStatus> Now() {
  ModelStatus status{.name = "m"};
  status.versions.push_back({.version = 1, .state = VersionState::kReady});
  status.versions.push_back({.version = 2, .state = VersionState::kLoading});
  status.labels = {{"stable", 1}};
  return {{"m", status}};
}

Status Check(std::map<std::string, int64_t> before, std::map<std::string, int64_t> next,
             LabelsMayWait which) {
  return CheckLabelMoves({Labelled(std::move(before))}, {Labelled(std::move(next))}, Now(), which);
}

TEST(LabelMovesTest, ALiveLabelMovesToAReadyVersionOnly) {
  for (LabelsMayWait wait : {LabelsMayWait::kNone, LabelsMayWait::kNew}) {
    Status status = Check({{"stable", 1}}, {{"stable", 2}}, wait);
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(status.message(),
              "Request to assign label stable of model m to version 2, which is not currently "
              "available for inference; ready: 1. The label serves version 1 meanwhile; load the "
              "version first, then move the label, or allow it by "
              "--force_allow_any_version_labels_for_unavailable_models");
  }
  EXPECT_TRUE(Check({{"stable", 1}}, {{"stable", 1}, {"canary", 1}}, LabelsMayWait::kNone).ok());
}

TEST(LabelMovesTest, ANewLabelWaitsWhenAllowed) {
  EXPECT_TRUE(Check({}, {{"canary", 2}}, LabelsMayWait::kNew).ok());
  Status status = Check({}, {{"canary", 2}}, LabelsMayWait::kNone);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("--allow_version_labels_for_unavailable_models"),
            std::string::npos);
}

TEST(LabelMovesTest, ALiveLabelWaitsWhereAnyMay) {
  EXPECT_TRUE(Check({{"stable", 1}}, {{"stable", 2}, {"canary", 2}}, LabelsMayWait::kAny).ok());
}

TEST(LabelMovesTest, WhatWasSaidBeforeIsNoMove) {
  EXPECT_TRUE(Check({{"canary", 2}}, {{"canary", 2}}, LabelsMayWait::kNone).ok())
      << "it has waited since";
  EXPECT_TRUE(Check({{"stable", 1}}, {}, LabelsMayWait::kNone).ok()) << "taken away";
  EXPECT_TRUE(CheckLabelMoves({}, {Labelled({{"a", 9}})}, {}, LabelsMayWait::kNone).ok())
      << "a new model";
}

}  // namespace
}  // namespace leadsman
