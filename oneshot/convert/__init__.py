"""Networks in other forms: folded, as ONNX, rewritten, in 8 bits, from MATLAB."""
