#include "events/same_answer.h"

#include "base/strings.h"

namespace leadsman {

bool SameAnswer(std::string_view predicted, std::string_view label) {
  if (predicted == label) return true;
  auto whole = ParseInt64(predicted);
  auto whole_label = ParseInt64(label);
  if (whole && whole_label) return *whole == *whole_label;
  auto a = ParseDouble(predicted);
  auto b = ParseDouble(label);
  return a && b && *a == *b;
}

}  // namespace leadsman
