#include "bench_report.h"

#include <sys/resource.h>

#include <charconv>

#include "number_text.h"

namespace qvl::cli {
namespace {

double rounded(double value, int decimals) {
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, decimals).ptr;
  double back = 0;
  std::from_chars(buffer, end, back);
  return back;
}

double peak_rss_gb() {
  struct rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1e6;  // Linux counts in KiB; "GB" as its tools print it
}

Json spread_json(const Spread& spread, int decimals) {
  return {{"median", rounded(spread.median, decimals)},
          {"least", rounded(spread.least, decimals)},
          {"most", rounded(spread.most, decimals)}};
}

std::string decode_key(int64_t streams) {
  return streams == 1 ? "decode_tok_s" : "decode_" + std::to_string(streams) + "_streams_tok_s";
}

std::string line(const std::string& name, const std::string& value, const std::string& remark) {
  std::string padded = name + std::string(name.size() < 28 ? 28 - name.size() : 1, ' ') + value;
  if (!remark.empty()) padded += std::string(padded.size() < 44 ? 44 - padded.size() : 1, ' ') + remark;
  return padded + "\n";
}

// One kind of start, or why it was not measured; nothing where it was not asked for.
std::string start_line(const std::string& name, const std::optional<double>& seconds,
                       const std::string& why_not) {
  if (seconds) return line(name, fixed(*seconds, 2) + " s", "");
  return why_not.empty() ? "" : line(name, "not measured", why_not);
}

// Of a peak; nothing where that is not known.
std::string share(double part, std::optional<double> whole) {
  return whole && *whole > 0 ? ", " + fixed(100 * part / *whole, 0) + " % of the machine's peak" : "";
}

std::string peaks_text(const MachinePeaks& peaks) {
  const std::string reads = peaks.read_gb_s ? fixed(*peaks.read_gb_s, 1) + " GB/s, " : "";
  return "peaks: " + reads + fixed(peaks.int8_gop_s, 0) + " GOP/s in 8 bits";
}

const char* name_of(SpeedVerdict verdict) {
  switch (verdict) {
    case SpeedVerdict::faster:
      return "faster";
    case SpeedVerdict::slower:
      return "slower";
    case SpeedVerdict::same:
      break;
  }
  return "same";
}

// Seconds are small numbers, rates large ones.
std::string value(double number) { return fixed(number, number < 10 ? 4 : 1); }
std::string value_or_none(std::optional<double> number) { return number ? value(*number) : "not measured"; }

std::string compared(const ComparedMeasurement& measured) {
  return line("  " + measured.name, std::string(name_of(measured.verdict)) + ", " + fixed(measured.ratio, 3),
              fixed(measured.ratio_least, 3) + " to " + fixed(measured.ratio_most, 3) + "; " +
                  value(measured.before) + " -> " + value(measured.now) + " " + measured.unit);
}

}  // namespace

void Starts::add(const Model& model) {
  const double seconds = model.load_seconds();
  switch (model.packing()) {
    case Packing::none:
      as_stored = as_stored.value_or(seconds);
      break;
    case Packing::mapped:
      mapping = mapping.value_or(seconds);
      break;
    case Packing::kept:
    case Packing::not_kept:
      packing = packing.value_or(seconds);
      break;
  }
}

Json report_json(const BenchmarkReport& report, const Model& model, const Starts& starts) {
  Json json = {{"isa", model.isa()}, {"threads", model.threads()}};
  Json spreads;
  for (const EncodeResult& encode : report.encode) {
    const std::string key = "encode_" + std::to_string(encode.size) + "_s";
    json[key] = rounded(encode.seconds.median, 4);
    spreads[key] = spread_json(encode.seconds, 4);
    json["encode_" + std::to_string(encode.size) + "_gop_s"] = rounded(encode.gop / encode.seconds.median, 1);
  }
  const std::string prefill = "prefill_" + std::to_string(report.prompt_tokens) + "_tok_s";
  json[prefill] = rounded(report.prefill_tokens_per_s.median, 2);
  spreads[prefill] = spread_json(report.prefill_tokens_per_s, 2);
  json["prefill_gop_s"] = rounded(report.prefill_tokens_per_s.median * report.prefill_gop_per_token, 1);
  for (const DecodeResult& decode : report.decode) {
    json[decode_key(decode.streams)] = rounded(decode.tokens_per_s.median, 2);
    spreads[decode_key(decode.streams)] = spread_json(decode.tokens_per_s, 2);
    if (decode.streams == 1) {
      json["decode_gb_s"] = rounded(decode.tokens_per_s.median * report.weight_bytes_per_step / 1e9, 2);
    }
  }
  if (report.first_token_size > 0) {
    json["first_token_" + std::to_string(report.first_token_size) + "_s"] = rounded(report.first_token_s, 4);
  }
  json["peak_rss_gb"] = rounded(peak_rss_gb(), 3);
  if (starts.packing) json["start_cold_s"] = rounded(*starts.packing, 3);
  if (starts.mapping) json["start_warm_s"] = rounded(*starts.mapping, 3);
  if (starts.as_stored) json["start_stored_s"] = rounded(*starts.as_stored, 3);
  json["machine_read_gb_s"] = report.peaks.read_gb_s ? Json(rounded(*report.peaks.read_gb_s, 2)) : Json();
  json["machine_int8_gop_s"] = rounded(report.peaks.int8_gop_s, 1);
  json["spreads"] = spreads;
  json["followed"] = Json::parse(model.followed_json());
  json["warnings"] = model.warnings();
  if (!report.why_no_reads.empty()) json["warnings"].push_back(report.why_no_reads);
  return json;
}

std::string report_text(const BenchmarkReport& report, const Model& model, const Starts& starts) {
  const double gops = report.peaks.int8_gop_s;
  std::string out = line("kernels", std::string(model.isa()) + ", " + counted(model.threads(), "thread"),
                         peaks_text(report.peaks));
  for (const EncodeResult& encode : report.encode) {
    const double rate = encode.gop / encode.seconds.median;
    out += line("encode " + std::to_string(encode.size) + " x " + std::to_string(encode.size),
                fixed(encode.seconds.median, 2) + " s", fixed(rate, 0) + " GOP/s" + share(rate, gops));
  }
  const double rate = report.prefill_tokens_per_s.median * report.prefill_gop_per_token;
  out += line("prefill " + std::to_string(report.prompt_tokens) + " tokens",
              fixed(report.prefill_tokens_per_s.median, 1) + " tok/s",
              fixed(rate, 0) + " GOP/s" + share(rate, gops));
  for (const DecodeResult& decode : report.decode) {
    const double bytes =
        decode.tokens_per_s.median / static_cast<double>(decode.streams) * report.weight_bytes_per_step / 1e9;
    out +=
        line("decode, " + counted(decode.streams, "stream"), fixed(decode.tokens_per_s.median, 1) + " tok/s",
             fixed(bytes, 1) + " GB/s" + share(bytes, report.peaks.read_gb_s));
  }
  if (report.first_token_size > 0) {
    out += line("first token, " + std::to_string(report.first_token_size) + " picture",
                fixed(report.first_token_s, 2) + " s", "");
  }
  out += start_line("start, packing", starts.packing, starts.why_no_packing);
  out += start_line("start, packed before", starts.mapping, starts.why_no_mapping);
  out += start_line("start, nothing packed", starts.as_stored, "");
  return out + line("peak memory", fixed(peak_rss_gb(), 2) + " GB", "");
}

Json comparison_json(const BenchmarkComparison& comparison, const std::string& baseline) {
  Json measurements = Json::array();
  for (const ComparedMeasurement& measured : comparison.measurements) {
    measurements.push_back({{"name", measured.name},
                            {"unit", measured.unit},
                            {"before", measured.before},
                            {"now", measured.now},
                            {"ratio", measured.ratio},
                            {"ratio_least", measured.ratio_least},
                            {"ratio_most", measured.ratio_most},
                            {"verdict", name_of(measured.verdict)}});
  }
  return {
      {"baseline", baseline},
      {"program_before", comparison.program_before},
      {"regression", comparison.regression},
      {"machine_before",
       {{"read_gb_s", comparison.peaks_before.read_gb_s ? Json(*comparison.peaks_before.read_gb_s) : Json()},
        {"int8_gop_s", comparison.peaks_before.int8_gop_s}}},
      {"measurements", measurements}};
}

std::string comparison_text(const BenchmarkComparison& comparison, const std::string& baseline,
                            const BenchmarkReport& now) {
  std::string out = "compared with " + baseline + " (" + comparison.program_before +
                    "): above 1 is faster; the band of 99 %; medians\n";
  for (const ComparedMeasurement& measured : comparison.measurements) out += compared(measured);
  out += line("  the machine's reads",
              value_or_none(comparison.peaks_before.read_gb_s) + " -> " + value_or_none(now.peaks.read_gb_s) +
                  " GB/s",
              "");
  out +=
      line("  the machine in 8 bits",
           value(comparison.peaks_before.int8_gop_s) + " -> " + value(now.peaks.int8_gop_s) + " GOP/s", "");
  return out + (comparison.regression ? "slower than " : "not slower than ") + baseline + "\n";
}

}  // namespace qvl::cli
