#pragma once

#include <gtest/gtest.h>

/// For a statistic of one thread whose code other tests run under the sanitizers too: without them it takes seconds, with
/// them minutes. ./dev test runs what says so in the build without sanitizers (tools/run_tests.py looks for these words).
#ifdef LEADSMAN_SANITIZED
#define SKIP_WHERE_SANITIZED() GTEST_SKIP() << "runs without sanitizers"
#else
#define SKIP_WHERE_SANITIZED() static_cast<void>(0)
#endif
