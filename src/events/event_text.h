#pragma once

#include <cstddef>

namespace leadsman {

/// What is kept of a model's name and of each predicted class: the rest is cut off. Who compares classes looks at no more.
inline constexpr size_t kMaxEventText = 255;

}  // namespace leadsman
