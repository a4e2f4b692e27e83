use potstill_kernels::conv::{Conv, ConvShape, OutputGradient};
use potstill_kernels::simd::Simd;
use std::time::Instant;
fn main() {
    let threads: usize = std::env::args().nth(1).map_or(2, |t| t.parse().unwrap());
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    let cases = [("s1 16-16 32", 128, 32, [16,16],3,1,1),("s2 32-32 16",128,16,[32,32],3,1,1),("s3 64-64 8",128,8,[64,64],3,1,1),("c0 3-16 32",128,32,[3,16],3,1,1),("d1 16-32 /2",128,32,[16,32],3,2,1),("d2 32-64 /2",128,16,[32,64],3,2,1),("1x1 96-24 16",64,16,[96,24],1,1,1),("dw 96 16",64,16,[96,96],3,1,96),("512-512 4",64,4,[512,512],3,1,1),("256-256 8",64,8,[256,256],3,1,1)];
    for (name,batch,size,channels,k,stride,groups) in cases {
        let shape = ConvShape{batch,input:[size;2],channels,groups,kernel:[k;2],stride:[stride;2],dilation:[1;2],padding:[(k/2,k/2);2]};
        let x = vec![0.5f32; shape.input_len()]; let w = vec![0.1f32; shape.weight_len()]; let dy = vec![0.3f32; shape.output_len()];
        let conv = Conv::new(shape.clone(), Simd::best());
        let time = |f: &dyn Fn()| { f(); let mut best = f64::MAX; for _ in 0..7 { let t = Instant::now(); f(); best = best.min(t.elapsed().as_secs_f64()); } best };
        let flop = 2.0 * shape.multiplications() as f64;
        let f = time(&|| { std::hint::black_box(conv.forward(&x,&w,None)); });
        let d = time(&|| { std::hint::black_box(conv.backward(&x,&w,OutputGradient::Ready(&dy),true,false)); });
        let g = time(&|| { std::hint::black_box(conv.backward(&x,&w,OutputGradient::Ready(&dy),false,true)); });
        println!("{name:14} fwd {:7.2} ms {:6.1} GF/s   dgrad {:7.2} ms {:6.1}   wgrad {:7.2} ms {:6.1}", f*1e3, flop/f/1e9, d*1e3, flop/d/1e9, g*1e3, flop/g/1e9);
    }

    use potstill_kernels::block::*; use potstill_kernels::norm::Clamp; use std::sync::Arc;
    for (name,size,c) in [("s1",32,16),("s2",16,32),("s3",8,64)] {
        for res in [false,true] {
        let shape = ConvShape{batch:128,input:[size;2],channels:[c;2],groups:1,kernel:[3;2],stride:[1;2],dilation:[1;2],padding:[(1,1);2]};
        let x: Vec<f32> = (0..shape.input_len()).map(|i| (i as f32*0.37).sin()).collect(); let w: Vec<f32> = (0..shape.weight_len()).map(|i| (i as f32*0.77).sin()).collect();
        let g = vec![1.0; c]; let b = vec![0.1; c];
        let block = Block{conv:Some(Arc::new(Conv::new(shape.clone(),Simd::best()))),epsilon:Some(1e-5),clamp:Clamp::RELU,channels:c,simd:Simd::best()};
        let ops = Operands{x:&x,weight:&w,bias:None,gamma:&g,beta:&b,residual: res.then_some(&x[..])};
        let (y,kept) = block.train(ops);
        let wanted = Wanted{x:true,weight:true,bias:false,residual:res};
        let time = |f: &dyn Fn()| { f(); let mut best = f64::MAX; for _ in 0..7 { let t = Instant::now(); f(); best = best.min(t.elapsed().as_secs_f64()); } best };
        let f = time(&|| {std::hint::black_box(block.train(ops));});
        let i = time(&|| {std::hint::black_box(block.infer(ops, Some([&g,&g])));});
        let bk = time(&|| {std::hint::black_box(block.backward(ops,kept.as_ref(),&y,&x,wanted));});
        let k = kept.as_ref().unwrap(); let aff = potstill_kernels::norm::Affine{scale:g.clone(),shift:b.clone()};
        let ap = time(&|| {std::hint::black_box(potstill_kernels::norm::apply(Simd::best(), k.convolved.as_ref().unwrap(), c, Some(&aff), ops.residual, Clamp::RELU));});
        println!("{name} block res={res} train {:.2} infer {:.2} backward {:.2} apply {:.2}", f*1e3, i*1e3, bk*1e3, ap*1e3);
        }
    }
}
