// What Vercel's AI SDK paints, by provider and case, as one line of JSON. Run in the folder of a
// release, with the address in $IMAGEMILL_URL, and in base64 an image in $IMAGE, a mask that is clear where
// it is painted over in $CLEAR, and one that is white there in $WHITE.
import { generateImage } from "ai";
import { createFal } from "@ai-sdk/fal";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createReplicate } from "@ai-sdk/replicate";
import { createTogetherAI } from "@ai-sdk/togetherai";

globalThis.AI_SDK_LOG_WARNINGS = false;
const url = process.env.IMAGEMILL_URL, apiKey = "any";
const fal = createFal({ baseURL: `${url}/fal/run`, apiKey });
const replicate = createReplicate({ baseURL: `${url}/replicate/v1`, apiToken: apiKey });
const together = createTogetherAI({ baseURL: `${url}/together/v1`, apiKey });
const openai = createOpenAI({ baseURL: `${url}/openai/v1`, apiKey });
const compatible = createOpenAICompatible({
  name: "imagemill", baseURL: `${url}/openai/v1`, apiKey,
});

const image = Buffer.from(process.env.IMAGE, "base64");
const mask = Buffer.from(process.env.CLEAR, "base64");
const white = Buffer.from(process.env.WHITE, "base64");
const prompt = "a red cat", size = "128x64", flux = "black-forest-labs/FLUX.1-dev";
const edit = { images: [image], text: "a boat" };
const two = { n: 2, maxImagesPerCall: 2 };
const few = {
  fal: { fal: { numInferenceSteps: 2 } },
  replicate: { replicate: { num_inference_steps: 2, megapixels: "0.25", output_format: "png" } },
  together: { togetherai: { steps: 2 } },
  openai: { openai: { quality: "low" } },
  compatible: { imagemill: { num_inference_steps: 2, seed: 7 } },
};

const schnell = fal.image("fal-ai/flux/schnell");
const dev = fal.image("fal-ai/flux/dev");
const slides = replicate.image("black-forest-labs/flux-schnell");
const fill = replicate.image("black-forest-labs/flux-fill-dev");
const turbo = together.image("black-forest-labs/FLUX.1-schnell");
const kontext = together.image("black-forest-labs/FLUX.1-kontext-dev");
const gpt = openai.image("gpt-image-2");
const own = compatible.imageModel(flux);
const cases = {
  "fal seed": { model: schnell, prompt, size, seed: 7, providerOptions: few.fal },
  "fal same seed": { model: schnell, prompt, size, seed: 7, providerOptions: few.fal },
  "fal other seed": { model: schnell, prompt, size, seed: 8, providerOptions: few.fal },
  "fal several": { model: dev, prompt, size, ...two, providerOptions: few.fal },
  "fal ratio": { model: schnell, prompt, aspectRatio: "4:3", providerOptions: few.fal },
  "fal error": {
    model: dev, prompt, size: "128x32", providerOptions: few.fal,
  },
  "fal edit": {
    model: fal.image("fal-ai/flux/dev/image-to-image"), prompt: edit, providerOptions: few.fal,
  },
  "fal mask": {
    model: fal.image("fal-ai/flux-lora/inpainting"), prompt: { ...edit, mask: white },
    providerOptions: few.fal,
  },
  "fal other id": { model: fal.image("fal-ai/recraft/v3/text-to-image"), prompt, size },
  "fal error in a list": {
    model: fal.image("fal-ai/flux-lora"), prompt, size,
    providerOptions: { fal: { loras: [{ path: "http://127.0.0.1:1/none.safetensors", scale: 100 }] } },
  },
  "replicate size": { model: slides, prompt, size, providerOptions: few.replicate },
  "replicate seed": { model: slides, prompt, seed: 7, providerOptions: few.replicate },
  "replicate ratio": {
    model: slides, prompt, aspectRatio: "16:9", providerOptions: few.replicate,
  },
  "replicate edit": {
    model: fill, prompt: { ...edit, mask: white }, providerOptions: few.replicate,
  },
  "replicate error": { model: slides, prompt, aspectRatio: "16:10" },
  "together seed": { model: turbo, prompt, size, seed: 7, providerOptions: few.together },
  "together several": { model: turbo, prompt, size, ...two, providerOptions: few.together },
  "together edit": {
    model: kontext, prompt: edit, size: "128x128", providerOptions: few.together,
  },
  "together error": {
    model: turbo, prompt, size, providerOptions: { togetherai: { steps: 1000 } },
  },
  "openai": {
    model: gpt, prompt, size,
    providerOptions: { openai: { quality: "low", outputFormat: "webp" } },
  },
  "openai several": { model: gpt, prompt, size, n: 2, providerOptions: few.openai },
  "openai any model": { model: openai.image(flux), prompt, size },
  "openai edit": { model: gpt, prompt: { ...edit, mask }, providerOptions: few.openai },
  "openai edit of several": {
    model: gpt, prompt: { images: [image, image], text: "a boat" }, size: "128x128",
    providerOptions: few.openai,
  },
  "openai error": { model: openai.image("gpt-image-1"), prompt, size: "512x512" },
  "compatible several": { model: own, prompt, size, n: 2, providerOptions: few.compatible },
  "compatible edit": {
    model: own, prompt: { ...edit, mask }, size: "128x128", providerOptions: few.compatible,
  },
  "compatible error": { model: own, prompt, size: "32x32" },
};

async function outcome(options) {
  try {
    const { images, warnings } = await generateImage({ maxRetries: 0, ...options });
    const files = images.map(({ base64, mediaType }) => [mediaType, base64]);
    return { files, warnings: warnings.map(({ feature, message }) => feature ?? message) };
  } catch ({ name, message, statusCode }) {
    return { error: name, message, status: statusCode };
  }
}

const outcomes = {};
for (const [name, options] of Object.entries(cases)) outcomes[name] = await outcome(options);
console.log(JSON.stringify(outcomes));
