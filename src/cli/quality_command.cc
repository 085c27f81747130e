#include <algorithm>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/json_fields.h"
#include "cli/version_answer.h"

namespace leadsman::cli {
namespace {

constexpr size_t kMistakesShown = 5;

/// Weighted counts need not be whole.
std::string Count(const Json& number) {
  if (!number.is_number()) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.0f", number.get<double>());
  return text;
}

std::string Share(const Json& share) {
  return share.is_number() ? Percent(share.get<double>()) : "-";
}

std::string Name(const Json& json, const char* key) {
  const Json& text = Part(json, key);
  return text.is_string() ? Clean(text.get<std::string>()) : "-";
}

/// "91.2% to 95.0%"
std::string Interval(const Json& json, const std::string& of) {
  const Json& low = Part(json, (of + "_low").c_str());
  if (!low.is_number()) return "-";
  return StrCat(Share(low), " to ", Share(Part(json, (of + "_high").c_str())));
}

void Print(ClientContext& c, const Table& table) {
  if (!table.empty()) table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
}

void ShowCoverage(const Json& coverage, bool labelled, ClientContext& c) {
  if (Number(coverage, "predictions") == 0) {
    c.env.out << (labelled ? "  which share of the predictions has labels is known where they were "
                             "made, not here\n"
                           : "  no prediction has been kept for a label\n");
    return;
  }
  std::string ages;
  for (const Json& age : Part(coverage, "by_age")) {
    ages +=
        StrCat(ages.empty() ? "" : ", ", Share(Part(age, "share")), " up to ", Name(age, "up_to"));
  }
  c.env.out << "  labels: " << Count(Part(coverage, "labelled")) << " of "
            << Count(Part(coverage, "predictions")) << " predictions, "
            << Share(Part(coverage, "share")) << " (" << ages << ")\n";
}

void ShowClasses(const Json& classes, ClientContext& c) {
  if (!classes.is_object()) return;
  Table table({"CLASS", "LABELLED", "PREDICTED", "PRECISION", "RECALL", "RECALL 95%", "F1"});
  for (const Json& of : Part(classes, "of")) {
    table.Add({Name(of, "class"), Count(Part(of, "labelled")), Count(Part(of, "predicted")),
               Share(Part(of, "precision")), Share(Part(of, "recall")), Interval(of, "recall"),
               Short(Part(of, "f1"))});
  }
  const Json& macro = Part(classes, "macro");
  table.Add({"macro", "", "", Share(Part(macro, "precision")), Share(Part(macro, "recall")), "",
             Short(Part(macro, "f1"))});
  Print(c, table);
  std::vector<const Json*> mistakes;
  for (const Json& cell : Part(classes, "confusion")) {
    if (Part(cell, "label") != Part(cell, "predicted")) mistakes.push_back(&cell);
  }
  std::stable_sort(mistakes.begin(), mistakes.end(), [](const Json* a, const Json* b) {
    return Number(*a, "rows") > Number(*b, "rows");
  });
  if (mistakes.size() > kMistakesShown) mistakes.resize(kMistakesShown);
  std::string text;
  for (const Json* cell : mistakes) {
    text += StrCat(text.empty() ? "" : ", ", Name(*cell, "label"), " taken for ",
                   Name(*cell, "predicted"), " ", Count(Part(*cell, "rows")), " times");
  }
  if (!text.empty()) c.env.out << "  most often: " << text << '\n';
}

void ShowManyClasses(const Json& of, ClientContext& c) {
  c.env.out << "  scores of all classes, " << Count(Part(of, "rows")) << " rows: ";
  if (Part(of, "auc").is_number()) {
    c.env.out << "AUC of each against the rest " << Short(Part(of, "auc")) << " ± "
              << Short(Part(of, "auc_error")) << ", weighted " << Short(Part(of, "weighted_auc"))
              << ", log loss " << Short(Part(of, "log_loss"));
    const Json* worst = nullptr;
    for (const Json& one : Part(of, "classes"))
      if (worst == nullptr || Number(one, "auc") < Number(*worst, "auc")) worst = &one;
    if (worst != nullptr)
      c.env.out << "; lowest " << Name(*worst, "class") << ' ' << Short(Part(*worst, "auc"));
  } else {
    c.env.out << "no AUC yet";
  }
  if (const double left_out = Number(of, "left_out"); left_out > 0)
    c.env.out << "; " << Count(Json(left_out))
              << " rows left out, whose label the model has not answered";
  c.env.out << '\n';
}

void ShowScores(const Json& scores, ClientContext& c) {
  for (const Json& of : scores) {
    if (Name(of, "of") == "all_classes") {
      ShowManyClasses(of, c);
      continue;
    }
    const bool two = Name(of, "of") == "second_class";
    c.env.out << "  scores of " << (two ? "class " + Name(of, "class") : "the class answered")
              << ", " << Count(Part(of, "rows")) << " rows:";
    if (two) {
      c.env.out << " AUC " << Short(Part(of, "auc")) << " ± " << Short(Part(of, "auc_error"))
                << ", log loss " << Short(Part(of, "log_loss")) << ',';
    }
    c.env.out << " calibration error " << Short(Part(of, "calibration_error")) << '\n';
  }
}

void ShowNumbers(const Json& numbers, ClientContext& c) {
  if (!numbers.is_object()) return;
  c.env.out << "  numbers, " << Count(Part(numbers, "rows")) << " rows: mean absolute error "
            << Short(Part(numbers, "mean_absolute_error"));
  const Json& error = Part(numbers, "mean_absolute_error_standard_error");
  if (error.is_number()) c.env.out << " ± " << Short(error);
  c.env.out << ", root mean square error " << Short(Part(numbers, "root_mean_square_error"))
            << ", bias " << Short(Part(numbers, "bias")) << '\n';
}

void ShowVersion(const Json& version, ClientContext& c) {
  if (Number(version, "labelled") > 0 && Part(version, "accuracy").is_number()) {
    c.env.out << "  accuracy " << Share(Part(version, "accuracy")) << " of "
              << Count(Part(version, "labelled")) << " labelled rows; 95% interval "
              << Interval(version, "accuracy") << " by "
              << Part(version, "labelled_requests").dump() << " requests\n";
  }
  ShowCoverage(Part(version, "coverage"), Number(version, "labelled") > 0, c);
  ShowScores(Part(version, "scores"), c);
  ShowNumbers(Part(version, "numbers"), c);
  ShowClasses(Part(version, "classes"), c);
}

void ShowSegments(const Json& version, ClientContext& c) {
  const Json& segments = Part(version, "segments");
  if (segments.empty()) {
    c.env.out << "  no request has been counted by segment: set monitoring.segments\n";
    return;
  }
  Table table({"BY", "SEGMENT", "REQUESTS", "ERRORS", "LABELLED", "WRONG", "ACCURACY", "95%"});
  for (const Json& of : segments) {
    const Json& requests = Part(of, "requests");
    double all = 0;
    for (const Json& count : requests) all += count.is_number() ? count.get<double>() : 0;
    table.Add({Name(of, "by"), Name(of, "segment"), Count(Json(all)),
               Count(Json(Number(requests, "client_error") + Number(requests, "server_error"))),
               Count(Part(of, "labelled")), Count(Part(of, "wrong")), Share(Part(of, "accuracy")),
               Interval(of, "accuracy")});
  }
  Print(c, table);
}

}  // namespace

int ShowQuality(ClientContext& c, const std::string& model, int64_t version, bool by_segment) {
  int code = kOk;
  auto answer = AnswerByVersion(c, model, "quality", version, code);
  if (!answer) return code;
  const Json& versions = Part(*answer, "versions");
  if (versions.empty()) c.env.out << Clean(model) << " has served no request yet\n";
  if (const double mismatched = Number(*answer, "labels_mismatched"); mismatched > 0) {
    c.env.out << Clean(model) << ": " << Count(Json(mismatched))
              << (mismatched == 1 ? " label" : " labels")
              << " not compared: text where it answers numbers, or the other way round\n";
  }
  for (const Json& one : versions) {
    c.env.out << Clean(model) << ':' << Part(one, "version").dump() << '\n';
    if (by_segment) {
      ShowSegments(one, c);
    } else {
      ShowVersion(one, c);
    }
  }
  return kOk;
}

}  // namespace leadsman::cli
