import { render } from "preact";
import { App } from "./App";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/controls.css";
import "./styles/feed.css";
import "./styles/tryit.css";
import "./styles/lists.css";

const page = document.getElementById("page");
if (page) render(<App />, page);
