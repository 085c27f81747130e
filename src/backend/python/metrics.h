#pragma once

#include <vector>

#include "backend/python/python_backend.h"
#include "stats/registry.h"

namespace leadsman::python {

/// leadsman_python_*: how many workers there are, why they were replaced, what memory they take. `host` must outlive the
/// registrations.
std::vector<Registry::Registration> RegisterPythonMetrics(const PythonHost& host,
                                                          Registry& registry);

}  // namespace leadsman::python
