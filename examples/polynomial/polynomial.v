// A cubic by Horner's rule, ((c3*x + c2)*x + c1)*x + c0: three fused multiply-adds in a row, each rounded once.
// One x enters in each cycle; its value leaves 3*LATENCY cycles later.
module polynomial (
  input  wire       clk,
  input  wire       rst,
  input  wire [7:0] x,
  output wire [7:0] y
);
  parameter [7:0] C0 = 8'h40, C1 = 8'h40, C2 = 8'h38, C3 = 8'h2b;  // posit<8,2>: 1, 1, 1/2, about 1/6
  localparam LATENCY = 2;  // of each unit, as its header says

  wire [7:0] first, second;
  reg  [7:0] delayed [1:2*LATENCY];  // x, for the units that need it later
  integer i;

  always @(posedge clk) begin
    delayed[1] <= x;
    for (i = 2; i <= 2*LATENCY; i = i + 1) delayed[i] <= delayed[i-1];
  end

  posit_fma_8_2_s2 step_1 (.clk(clk), .rst(rst), .a(C3), .b(x), .c(C2), .code(first));
  posit_fma_8_2_s2 step_2 (.clk(clk), .rst(rst), .a(first), .b(delayed[LATENCY]), .c(C1), .code(second));
  posit_fma_8_2_s2 step_3 (.clk(clk), .rst(rst), .a(second), .b(delayed[2*LATENCY]), .c(C0), .code(y));
endmodule
