"""The learned choice of models, measured: MMLU, GSM8K and RouterBench, calibration, typos and cost."""
